"""Print the table of recommendations with their reasons."""

from collections.abc import Mapping, Sequence

import polars as pl

from graphrec.cli import console as show
from graphrec.core.escaping import one_line

Row = Mapping[str, object]
HEADER = ("user", "recommended", "score", "share and change", "because")
LEAST = (10, 14, 8, 18, 14)
"""Number of columns of the terminal for each column; with their borders 80."""


def print_explained(table: pl.DataFrame, title: str) -> None:
    """Print one row per recommendation of ``recommend(..., explain=True)``."""
    names = [name.removeprefix("change_") for name in table.columns if name.startswith("change_")]
    rows = [
        [
            one_line(str(row["user"])),
            one_line(f"{row['rank']}. {row.get('title', row['item'])}"),
            f"{row['score']:.4f}",
            "\n".join(_modality(row, name) for name in names),
            _because(row),
        ]
        for row in table.iter_rows(named=True)
    ]
    show.print_table(title, HEADER, rows, lines=True, least=LEAST)


def _modality(row: Row, name: str) -> str:
    share = row.get(f"attention_{name}")  # lists of neighbours have no share
    percent = f"{share:4.0%}" if isinstance(share, float) else "   -"
    return f"{percent} {row[f'change_{name}']:+.4f} {one_line(name)}"


def _because(row: Row) -> str:
    items, parts = row.get("because_titles", row.get("because")), row.get("contributions")
    if not isinstance(items, Sequence) or not isinstance(parts, Sequence):
        return "-"
    return "\n".join(
        f"{part:+.4f} {one_line(str(item))}" for part, item in zip(parts, items, strict=True)
    )
