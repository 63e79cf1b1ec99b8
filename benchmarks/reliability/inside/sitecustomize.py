"""Read by every Python process that a test starts: see ``planting``."""

import planting

planting.from_environment()
