"""Find the paper configurations."""

from pathlib import Path


def paper_configs() -> list[Path]:
    """Return the paper configurations: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    folders = (package / "paper_configs", package.parent / "paper_configs")
    return sorted(path for folder in folders for path in folder.glob("*.toml"))
