"""Flatten nested columns: objects become columns of their fields, lists become rows."""

import ast
import io
import itertools
import re
import tokenize
from pathlib import Path
from typing import TypeAlias

import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.config import DataConfig

Literal: TypeAlias = "str | int | float | bytes | bool | list[Literal] | None"

LIST_LITERAL = r"(?s)^\s*\[.*\]\s*$"
"""Pattern of text such as ``['a', 'b']``, as Python writes lists to CSV files."""

SIDE_BY_SIDE = re.compile(r"""['"]\s*['"]""")
"""Pattern of two texts without a comma between them, as NumPy prints them."""


def flatten_objects(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Replace each column of objects by one column per field, called ``column.field``.

    Raises:
        DataError: two columns get one name.
    """
    while nested := [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]:
        for name in nested:
            fields = frame[name].struct.unnest()
            fields.columns = [f"{name}.{field}" for field in fields.columns]
            twice = sorted(set(fields.columns) & set(frame.columns))
            if twice:
                raise DataError(
                    f"{path}: the field {twice[0]!r} of column {name!r} is also the name of a "
                    f"column. Rename one."
                )
            position = frame.columns.index(name)
            before, after = frame[:, :position], frame[:, position + 1 :]
            frame = pl.concat([before, fields, after], how="horizontal")
    return frame


def unroll(
    frame: pl.DataFrame, config: DataConfig, path: Path, separator: str | None
) -> pl.DataFrame:
    """Make one row of each entry of the columns ``data.unroll``; repeat the other columns.

    Entries at one position in several such columns share a row. An empty list makes no row; a null
    makes a row without values, which later counts as a row without an id. Lists of lists are
    unrolled to the last level.

    Args:
        frame: the table.
        config: settings with the columns to unroll.
        path: the file of the table, for messages.
        separator: separator of the entries in columns of text, unless they hold literal lists.

    Raises:
        ConfigError: a column is missing, or is text and there is no separator.
        DataError: a column holds no lists, or the lists of one line have different lengths.
    """
    frame = frame.with_columns(
        [_lists(frame, name, config, path, separator) for name in config.unroll]
    )
    while names := [name for name in config.unroll if isinstance(frame[name].dtype, pl.List)]:
        _require_equal_lengths(frame, names, path)
        frame = frame.explode(names)
    return flatten_objects(frame, path)


def _require_equal_lengths(frame: pl.DataFrame, names: list[str], path: Path) -> None:
    first, *others = names
    for other in others:
        unequal = frame[first].list.len().fill_null(0) != frame[other].list.len().fill_null(0)
        if unequal.any():
            row = int(unequal.arg_max() or 0)
            lengths = [frame[name].list.len()[row] or 0 for name in (first, other)]
            raise DataError(
                f"{path}, row {row + 1}: column {first!r} holds {lengths[0]} entries, but "
                f"{other!r} holds {lengths[1]}. Repair the row, or unroll one of them."
            )


def _lists(
    frame: pl.DataFrame, name: str, config: DataConfig, path: Path, separator: str | None
) -> pl.Series:
    if name not in frame.columns:
        raise DataError(
            f"{path} has no column {name!r}, which data.unroll asks for. "
            f"Columns: {', '.join(frame.columns)}."
        )
    column = _without_arrays(frame[name])
    if isinstance(column.dtype, pl.List):
        if config.unroll_separator is not None:
            raise ConfigError(
                f"data.unroll_separator has no effect: column {name!r} of {path} holds lists. "
                f"Remove it."
            )
        return column
    if column.dtype != pl.String:
        raise DataError(
            f"{path}: column {name!r} holds {column.dtype}, neither lists nor text. "
            f"Take it out of data.unroll."
        )
    if separator is not None:
        return _entries(column, separator)
    literal = literal_lists(column, path)
    if literal is None:
        raise ConfigError(
            f"data.unroll: column {name!r} of {path} is text, such as "
            f"{(column.drop_nulls().head(1).to_list() or [''])[0][:60]!r}. Set "
            f"data.unroll_separator to what stands between its entries."
        )
    return literal


def _without_arrays(column: pl.Series) -> pl.Series:
    """Return arrays, and arrays of arrays, as lists."""
    kind: pl.DataType = column.dtype
    depth = 0
    while isinstance(kind, pl.List | pl.Array):
        kind, depth = kind.inner, depth + 1  # type: ignore[assignment]
    for _ in range(depth):
        kind = pl.List(kind)
    return column.cast(kind)


def _entries(column: pl.Series, separator: str) -> pl.Series:
    """Cut texts at a separator; strip brackets around all texts, and quotes around entries."""
    blank = (column.str.strip_chars() == "").fill_null(True)
    bracketed = not blank.all() and column.filter(~blank).str.contains(LIST_LITERAL).all()
    bare = column.str.strip_chars().str.slice(1).str.head(-1) if bracketed else column
    entry = pl.element().str.strip_chars() if bracketed else pl.element()
    entries = bare.str.split(separator).list.eval(entry.filter(entry.str.strip_chars() != ""))
    if bracketed:
        quoted = pl.element().str.extract(r"""(?s)^(?:'(.*)'|".*")$""", 0)
        inner = quoted.str.slice(1).str.head(-1)
        entries = entries.list.eval(pl.coalesce(inner, pl.element()))
    return entries


def literal_lists(column: pl.Series, source: Path | str) -> pl.Series | None:
    """Parse texts such as ``['a', 'b']``; return None if a text is no such list. Blank is null.

    Raises:
        DataError: a text in brackets is no list of literals, or the lists hold entries of
            different types; the message names the row.
    """
    blank = (column.str.strip_chars() == "").fill_null(True)
    if blank.all() or not column.filter(~blank).str.contains(LIST_LITERAL).all():
        return None
    values: list[list[Literal] | None] = []
    for row, text in enumerate(column.set(blank, None), start=1):
        try:
            values.append(None if text is None else _literal(text.strip()))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise DataError(
                f"{source}, row {row}: column {column.name!r} holds {text[:60]!r}, which starts "
                f"like a list but is none with commas between its entries. Repair it, or set "
                f"data.unroll_separator where data.unroll names the column."
            ) from error
    try:
        return pl.Series(column.name, values)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{source}: the lists in column {column.name!r} hold entries of different types. "
            f"Repair them."
        ) from error


def _literal(text: str) -> list[Literal]:
    """Parse a literal list; raise ValueError for texts side by side, which Python would join."""
    if SIDE_BY_SIDE.search(text):
        kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
        solid = [kind for kind in kinds if kind not in (tokenize.NL, tokenize.NEWLINE)]
        if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(solid):
            raise ValueError(text)
    parsed: list[Literal] = ast.literal_eval(text)
    return parsed


def flat_lists(column: pl.Series) -> pl.Series | None:
    """Return lists of text, with lists of lists flattened; None if the column has no lists.

    Raises:
        DataError: the lists hold objects.
    """
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List):
        return None
    while isinstance(inner := column.dtype.inner, pl.List | pl.Array):
        if isinstance(inner, pl.Array):
            column = column.cast(pl.List(pl.List(inner.inner)))
        column = column.list.eval(pl.element().explode().drop_nulls())
        assert isinstance(column.dtype, pl.List)
    if isinstance(inner, pl.Struct):
        raise DataError(
            f"column {column.name!r} holds lists of objects with the fields "
            f"{', '.join(field.name for field in inner.fields)}. Give lists of texts."
        )
    return column.cast(pl.List(pl.String))
