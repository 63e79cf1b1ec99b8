"""Where work is kept that other runs can use again: encoded rows and graphs of similar items."""

import os
from pathlib import Path

VARIABLE = "GRAPHREC_CACHE"
"""Environment variable that names the folder; one on a shared disk serves all working folders."""

DEFAULT = Path("data/processed")
"""The folder without that variable, relative to the working folder."""


def cache_folder(kind: str) -> Path:
    """Return the folder of one kind of kept work, for example ``features``; it may not exist."""
    return Path(os.environ.get(VARIABLE) or DEFAULT) / kind
