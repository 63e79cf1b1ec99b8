"""The table of recommendations with their reasons; no wider than 100 columns."""

from collections.abc import Mapping, Sequence

import polars as pl
from rich.markup import escape
from rich.table import Table

from graphrec import console as show

Row = Mapping[str, object]
WIDTHS = {"user": 12, "recommended": 22, "score": 8, "share and change": 22, "because": 20}
"""Of the columns; with their borders 100 at most. Longer text goes on in the next line."""


def explained(found: pl.DataFrame, title: str) -> Table:
    """One row per recommendation of ``recommend(..., explain=True)``."""
    names = [each.removeprefix("change_") for each in found.columns if each.startswith("change_")]
    rows = [
        [
            escape(str(row["user"])),
            escape(f"{row['rank']}. {row.get('title', row['item'])}"),
            f"{row['score']:.4f}",
            escape("\n".join(_modality(row, name) for name in names)),
            escape(_because(row)),
        ]
        for row in found.iter_rows(named=True)
    ]
    table = show.table(title, list(WIDTHS), rows)
    table.show_lines = True
    for column, width in zip(table.columns, WIDTHS.values(), strict=True):
        column.max_width = width
        column.justify = "right" if column.header == "score" else "left"
    return table


def _modality(row: Row, name: str) -> str:
    share = row.get(f"attention_{name}")  # lists of neighbours have none
    shown = f"{share:4.0%}" if isinstance(share, float) else "   -"
    return f"{shown} {row[f'change_{name}']:+.4f} {name}"


def _because(row: Row) -> str:
    items, parts = row.get("because_titles", row.get("because")), row.get("contributions")
    if not isinstance(items, Sequence) or not isinstance(parts, Sequence):
        return "-"
    return "\n".join(f"{part:+.4f} {item}" for part, item in zip(parts, items, strict=True))
