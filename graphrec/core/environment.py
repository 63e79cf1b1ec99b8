"""Collect versions, machine and git state for a record."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from graphrec.core.config import Json


def environment() -> dict[str, Json]:
    """Return the versions of the software that computes the numbers, and the git state."""
    packages = ("graphrec", "torch", "torch-geometric", "numpy", "scipy", "scikit-learn", "polars")
    versions: dict[str, Json] = {name: version_of(name) for name in packages}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "git": _git_state(),
    }


def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Json]:
    """Return commit and cleanliness of graphrec's own checkout; empty for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except OSError:  # git is not installed
        return {}
