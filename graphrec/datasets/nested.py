"""Nested columns: objects become columns of their fields, lists become rows or flat lists."""

import ast
from pathlib import Path
from typing import TypeAlias

import polars as pl

from graphrec.config import DataConfig
from graphrec.errors import ConfigError, DataError

Literal: TypeAlias = "str | int | float | bytes | bool | list[Literal] | None"

LIST_LITERAL = r"(?s)^\s*\[.*\]\s*$"
"""Text such as ``['a', 'b']``, as lists look in CSV files that Python wrote."""


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
    """Make one row of each entry of the columns ``data.unroll``; the other columns are repeated.

    Entries that stand at one position in several such columns share a row. A line without entries
    becomes a row without values, which then counts among the rows without an id.

    Args:
        separator: what stands between entries in columns of text, unless they hold literal lists.

    Raises:
        ConfigError: a column is missing, or is text and there is no separator.
        DataError: a column holds no lists, or the lists of one line have different lengths.
    """
    lists = [_lists(frame, name, config, path, separator) for name in config.unroll]
    frame = frame.with_columns(lists)
    first, *others = config.unroll
    for other in others:
        unequal = frame[first].list.len().fill_null(0) != frame[other].list.len().fill_null(0)
        if unequal.any():
            row = int(unequal.arg_max() or 0)
            lengths = [frame[name].list.len()[row] or 0 for name in (first, other)]
            raise DataError(
                f"{path}, row {row + 1}: column {first!r} holds {lengths[0]} entries, but "
                f"{other!r} holds {lengths[1]}. Repair the row, or unroll one of them."
            )
    return flatten_objects(frame.explode(*config.unroll), path)


def _lists(
    frame: pl.DataFrame, name: str, config: DataConfig, path: Path, separator: str | None
) -> pl.Series:
    if name not in frame.columns:
        raise DataError(
            f"{path} has no column {name!r}, which data.unroll asks for. "
            f"Columns: {', '.join(frame.columns)}."
        )
    column = frame[name]
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
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
        entries = column.str.split(separator)
        return entries.list.eval(pl.element().filter(pl.element().str.strip_chars() != ""))
    literal = literal_lists(column, path)
    if literal is None:
        raise ConfigError(
            f"data.unroll: column {name!r} of {path} is text, such as "
            f"{(column.drop_nulls().head(1).to_list() or [''])[0][:60]!r}. Set "
            f"data.unroll_separator to what stands between its entries."
        )
    return literal


def literal_lists(column: pl.Series, source: Path | str) -> pl.Series | None:
    """Parse texts such as ``['a', 'b']``; None if a text is no such list. Blank text is null.

    Raises:
        DataError: a text in brackets is no list of literals, or the lists hold entries of
            different types; names the row.
    """
    blank = (column.str.strip_chars() == "").fill_null(True)
    if blank.all() or not column.filter(~blank).str.contains(LIST_LITERAL).all():
        return None
    values: list[list[Literal] | None] = []
    for row, text in enumerate(column.set(blank, None), start=1):
        try:
            values.append(None if text is None else ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise DataError(
                f"{source}, row {row}: column {column.name!r} holds {text[:60]!r}, which starts "
                f"like a list but is none. Repair it."
            ) from error
    try:
        return pl.Series(column.name, values)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{source}: the lists in column {column.name!r} hold entries of different types. "
            f"Repair them."
        ) from error


def flat_lists(column: pl.Series) -> pl.Series | None:
    """Return lists of text, those of lists of lists flattened; None if the column is no list.

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
