"""Locate work that other runs can reuse: encoded rows and graphs of similar items."""

import os
from pathlib import Path

VARIABLE = "GRAPHREC_CACHE"
"""Environment variable with the folder; a folder on a shared disk serves all working folders."""

DEFAULT = Path("data/processed")
"""Folder without that variable, relative to the working folder."""


def cache_folder(kind: str) -> Path:
    """Return the folder of one kind of reusable work, such as ``features``; it may not exist."""
    return Path(os.environ.get(VARIABLE) or DEFAULT) / kind
