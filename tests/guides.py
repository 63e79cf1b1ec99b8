"""The guides as a reader follows them: their blocks, and the files that README.md starts from."""

import re
from pathlib import Path

from docs import shop

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ORDER = ("tuning", "distillation", "features", "fusion", "controls", "fusion_grid", "attribution")
"""The guides after README.md that hold commands, in the order in which it names them."""


def guides() -> list[Path]:
    """All files with commands."""
    return [README, *(ROOT / "docs" / f"{name}.md" for name in ORDER), ROOT / "CONTRIBUTING.md"]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def steps(path: Path) -> list[tuple[str, str]]:
    """Every block of a guide in its order: language and text."""
    return re.findall(r"```(\w+)\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def file_name(block: str) -> str:
    """The file that a block is, by its first line; empty if it is a part of one."""
    found = re.match(r"# (\w+\.(?:toml|py))\n", block)
    return found[1] if found else ""


def commands(block: str) -> list[str]:
    """The commands of a bash block."""
    lines = (line.split("#")[0].strip() for line in block.splitlines())
    return [line for line in lines if line]


def write_shop(folder: Path) -> None:
    """The data that the example of README.md talks about, as ``docs/shop.py`` writes them."""
    shop.write_shop(folder)
    (folder / "paper_configs").symlink_to(ROOT / "paper_configs")
