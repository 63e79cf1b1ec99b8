"""Lay out tables of text: figures stay whole, and a table is as wide as there is room."""

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from graphrec.core.escaping import visible

FIGURE = re.compile(r"(?:[-+±\d.,:%/()\[\]\s]|e[-+]|to|nan|inf)*")
"""Pattern of a cell that must not be broken: a number, mean with deviation, or interval."""

KEY_WIDTH, TEXT_WIDTH = 20, 12
"""Widths at which longer texts continue on the next line if there is too little room; the key is
the first column."""

BORDERS = 3
"""Columns of the terminal beside each cell; the table has one more."""


def layout(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    lines: bool = False,
    least: Sequence[int] = (),
) -> list[Table]:
    """Lay a table out in ``width`` columns of a terminal.

    Columns that do not fit beside the first follow in further tables, each of which begins with the
    first column. Cells are literal text: nothing in them is markup.

    Args:
        header: names of the columns.
        rows: the cells.
        width: number of columns of the terminal.
        lines: draw a line between the rows.
        least: least width of a text, for each column.
    """
    least = least or [KEY_WIDTH, *[TEXT_WIDTH] * (len(header) - 1)]
    columns = [
        [visible(name), *(visible(row[at]) for row in rows)] for at, name in enumerate(header)
    ]
    widths = list(map(_least, columns, least))
    groups, room = [[0]], width - 1 - widths[0] - BORDERS
    left = room
    for at in range(1, len(columns)):
        needed = widths[at] + BORDERS
        if needed > left and len(groups[-1]) > 1:
            groups.append([0])
            left = room
        groups[-1].append(at)
        left -= needed
    return [
        _table([columns[at] for at in group], [widths[at] for at in group], width, lines=lines)
        for group in groups
    ]


def _table(
    columns: Sequence[Sequence[str]], least: Sequence[int], width: int, *, lines: bool
) -> Table:
    result = Table(show_lines=lines)
    for at, (column, size) in enumerate(zip(columns, _widths(columns, least, width), strict=True)):
        figures = at > 0 and _is_figures(column)
        result.add_column(
            Text(column[0]), justify="right" if figures else "left", overflow="fold", width=size
        )
    for row in list(zip(*columns, strict=True))[1:]:
        result.add_row(*map(Text, row))
    return result


def _widths(columns: Sequence[Sequence[str]], least: Sequence[int], width: int) -> list[int]:
    """Return the least widths, widened step by step where texts are broken, the narrowest first."""
    widths, wanted = list(least), list(map(_longest, columns))
    for _ in range(width - 1 - sum(widths) - BORDERS * len(widths)):
        broken = [at for at, want in enumerate(wanted) if want > widths[at]]
        if not broken:
            break
        widths[min(broken, key=widths.__getitem__)] += 1
    return widths


def _least(column: Sequence[str], text_width: int) -> int:
    """Return the least width of a column; the words of its heading may be on several lines."""
    words = max(map(_cells, column[0].split()), default=1)
    body = _longest(column[1:])
    least = max(words, body) if _is_figures(column) else min(max(words, body), text_width)
    return max(least, 1)


def _longest(column: Sequence[str]) -> int:
    return max((_cells(line) for cell in column for line in cell.split("\n")), default=0)


def _cells(text: str) -> int:
    """Return the width of a text on a terminal, where some characters take two columns."""
    return Text(text.expandtabs(8)).cell_len


def _is_figures(column: Sequence[str]) -> bool:
    return all(FIGURE.fullmatch(cell) for cell in column[1:])
