"""Read adjacency lists: one line of integers per user, with the items of the user."""

import polars as pl

from graphrec.core.errors import DataError
from graphrec.data.config import DataConfig
from graphrec.data.sources import Source, lines_of, read_text, separator_setting

DIGITS = r"^\d{1,18}$"
NEARLY_ALL = 0.9
"""Share of lines that must look like another layout for the file to be refused."""
FEW = 3
"""Number of lines below which a file may look like another layout by chance."""


def read_adjacency(source: Source, config: DataConfig) -> pl.DataFrame:
    """Read lines ``user item item ...``; a line with a user and no item holds no interaction.

    With ``data.line_start = "count"`` a line is ``n item ... item`` with n items, and its user is
    the number of the line, from 0 on.

    Raises:
        DataError: a token is no integer or is negative, a count is wrong, or the file looks like
            another layout; the message names the line.
    """
    lines = lines_of(read_text(source)).to_frame("text").with_row_index("line", offset=1)
    lines = lines.with_columns(
        pl.col("text").str.extract_all(r"[^\s\x{85}\x{2028}]+").alias("tokens")
    ).filter(pl.col("tokens").list.len() > 0)
    tokens = lines.select("line", "tokens").explode("tokens")
    bad = tokens.filter(~pl.col("tokens").str.contains(DIGITS))
    if len(bad):
        line, token = bad.row(0)
        setting = separator_setting(lines.filter(line=line)["text"][0], source.prefix)
        raise DataError(
            f"{source.path}, line {line}: {token!r} is not an id; an adjacency list holds integers "
            f'from 0 on: user item item ... For a table with columns set data.format = "csv"'
            f"{f' and {setting}' if setting else ''}."
        )
    lists = lines.select(
        "line",
        "text",
        first=pl.col("tokens").list.first(),
        items=pl.col("tokens").list.slice(1),
        width=pl.col("tokens").list.len(),
    )
    if config.line_start == "count":
        lists = _without_counts(lists, source)
    elif config.line_start is None:
        _refuse_rows(lists, source)
        _refuse_counts(lists, source)
    pairs = lists.select(pl.col("first").alias("user"), pl.col("items")).explode("items")
    pairs = pairs.drop_nulls("items")
    return pairs.select(pl.col("user").alias(config.user), pl.col("items").alias(config.item))


def _refuse_rows(lists: pl.DataFrame, source: Source) -> None:
    """Refuse rows like ``user item rating``: users recur, and most lines have one width above 2."""
    repeated = lists.filter(pl.col("first").is_duplicated())
    width = repeated["width"].mode().sort()
    if not len(width) or width[0] < 3:
        return
    if (lists["width"] == width[0]).sum() < NEARLY_ALL * len(lists):
        return
    line, text = repeated.select("line", "text").row(0)
    user = repeated["first"][0]
    setting = separator_setting(text, source.prefix)
    raise source.error_in_line(
        line,
        text,
        f"looks like a row of a table: nearly all lines have {width[0]} numbers, and user "
        f'{user!r} starts several. Set data.format = "csv", {setting}, '
        f'data.user = "column_1" and data.item = "column_2"; or, if these are the items of a user '
        f'over several lines, data.line_start = "user"',
    )


def _counted(lists: pl.DataFrame) -> pl.Series:
    """Return a mask of the lines that start with the number of tokens after it."""
    return lists.select(
        pl.col("first").cast(pl.Int64) == pl.col("width").cast(pl.Int64) - 1
    ).to_series()


def _refuse_counts(lists: pl.DataFrame, source: Source) -> None:
    """Refuse a list whose lines start with the number of their items, not with a user."""
    counted = _counted(lists)
    if counted.sum() < max(FEW, NEARLY_ALL * len(lists)):
        return
    line, text = lists.filter(counted).select("line", "text").row(0)
    raise source.error_in_line(
        line,
        text,
        f"starts with the number of tokens behind it, as do {counted.sum()} of {len(lists)} "
        f'lines. Set data.line_start = "count" if these are counts and each line is one user, or '
        f'data.line_start = "user" if they are users',
    )


def _without_counts(lists: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Replace the count of each line by its user: the number of the line, from 0 on."""
    wrong = lists.filter(~_counted(lists))
    if len(wrong):
        line, text, first, width = wrong.select("line", "text", "first", "width").row(0)
        raise source.error_in_line(
            line,
            text,
            f"announces {first} items and holds {width - 1} ({len(wrong)} such lines). Repair it, "
            f"or remove data.line_start",
        )
    return lists.with_columns(first=(pl.col("line") - 1).cast(pl.String))
