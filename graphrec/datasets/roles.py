"""The five roles of a raw row (user, item, time, weight, part), in columns that start with @."""

from pathlib import Path
from typing import Final

import polars as pl

from graphrec.config import DataConfig
from graphrec.datasets.arrays import PART_COLUMN
from graphrec.datasets.dataset import PARTS
from graphrec.errors import DataError
from graphrec.names import nearest

USER: Final = "@user"
ITEM: Final = "@item"
TIME: Final = "@time"
WEIGHT: Final = "@weight"
PART: Final = "@part"
ROW: Final = "@row"
"""Number of the row in its file, from 1 on, for messages."""


def require_column(frame: pl.DataFrame, column: str, path: Path | str, setting: str) -> None:
    """Raise DataError when the file has no such column, or one without single values.

    The nearest name is offered.
    """
    known = [name for name in frame.columns if not name.startswith("@")]
    if column not in known:
        raise DataError(
            f"{path} has no column {column!r}, which {setting} asks for."
            f"{nearest(column, known)} Columns: {', '.join(known)}."
        )
    kind = frame.schema[column]
    if kind.is_nested() or kind == pl.Binary:
        raise DataError(
            f"{path}: column {column!r} holds {kind}, but {setting} needs one value in each row. "
            f"Choose another column."
        )


def add_roles(frame: pl.DataFrame, config: DataConfig, path: Path) -> pl.DataFrame:
    """Append the roles that the configuration (or the file layout) assigns.

    ``@user`` and ``@item`` are text, ``@time`` int64 seconds, ``@weight`` float32, ``@part``
    int8 (0 train, 1 valid, 2 test); ``@row`` is the row number for messages.

    Raises:
        DataError: a column is missing, or a time, weight or label cannot be read; names the row.
    """
    roles = {"user": config.user, "item": config.item, "time": config.time}
    roles |= {"weight": config.weight, "label": config.label}
    if config.arrays and config.label is None:
        roles["label"] = PART_COLUMN
    for role, column in roles.items():
        if column is not None:
            require_column(frame, column, path, f"data.{role}")
    frame = frame.with_row_index(ROW, offset=1)
    added = [id_text(frame[config.user]).alias(USER), id_text(frame[config.item]).alias(ITEM)]
    if config.time is not None:
        added.append(_seconds(frame, config.time, path).alias(TIME))
    if config.weight is not None:
        weights = numbers(frame, config.weight, path, "a weight: a finite number")
        added.append(weights.cast(pl.Float32).alias(WEIGHT))
    if roles["label"] is not None:
        added.append(_parts(frame, roles["label"], path).alias(PART))
    return frame.with_columns(added)


def id_text(ids: pl.Series) -> pl.Series:
    """Return ids as text: whole floats lose their ``.0``; blank text and NaN become null."""
    if ids.dtype.is_float():
        ids = ids.fill_nan(None)
        if ((ids == ids.floor()) & (ids.abs() < 2**53)).all():
            ids = ids.cast(pl.Int64)
    text = ids.cast(pl.String)
    return text.set(text.str.strip_chars() == "", None)


def numbers(
    frame: pl.DataFrame, column: str, source: Path | str, wanted: str, missing: bool = False
) -> pl.Series:
    """Return the column as Float64; DataError names the first row that holds no finite number.

    With ``missing`` a null (or NaN) is no error and stays null.
    """
    values = frame[column]
    if missing and values.dtype.is_float():
        values = values.fill_nan(None)
    result = values.cast(pl.Float64, strict=False)
    good = result.is_finite().fill_null(False)
    _require(good | values.is_null() if missing else good, frame, column, source, wanted)
    return result


def _seconds(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    """Numbers are kept (whole seconds); dates and date texts become seconds since 1970."""
    wanted = "a time: a number of seconds or a date like 2024-01-31"
    times = frame[column]
    dates = _dates(times) if times.dtype == pl.String else times
    if dates.dtype.is_temporal():
        _require(dates.is_not_null(), frame, column, path, wanted)
        return dates.cast(pl.Datetime("us")).dt.epoch("s")
    if times.dtype.is_integer() and not times.has_nulls():
        return times.cast(pl.Int64)
    return numbers(frame, column, path, wanted).floor().cast(pl.Int64)


def _dates(texts: pl.Series) -> pl.Series:
    """Parse texts that start like 2024-01-31; where there is none, return the texts.

    Other orders of day and month cannot be told apart, and a guess would reorder histories.
    """
    dated = texts.set(~texts.str.contains(r"^\d{4}-\d{2}-\d{2}"), None)
    if dated.null_count() == len(dated):
        return texts
    return dated.str.to_datetime(strict=False, time_unit="us")


def _parts(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    codes = {str(code): code for code in range(3)} | {part: i for i, part in enumerate(PARTS)}
    parts = id_text(frame[column]).replace_strict(codes, default=None, return_dtype=pl.Int8)
    wanted = "a label: 0, 1, 2 or train, valid, test"
    _require(parts.is_not_null(), frame, column, path, wanted)
    return parts


def _require(
    good: pl.Series, frame: pl.DataFrame, column: str, source: Path | str, wanted: str
) -> None:
    bad = frame.filter(~good)
    if len(bad):
        row, value = bad.select(ROW, column).row(0)
        raise DataError(
            f"{source}, row {row}: column {column!r} holds {value!r}, which is not {wanted} "
            f"({len(bad)} such rows; the header is not counted). Repair or remove them."
        )
