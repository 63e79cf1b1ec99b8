"""Add the five roles of a raw row (user, item, time, weight, part), in columns starting with @."""

import logging
from pathlib import Path
from typing import Final

import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.names import nearest, quantity
from graphrec.data.arrays import PART_COLUMN
from graphrec.data.config import MISSING_IDS, DataConfig
from graphrec.data.ids import id_text
from graphrec.data.interactions import PARTS
from graphrec.data.times import (
    EXAMPLES,
    PER_SECOND,
    epoch,
    looks_like_calendar_days,
    odd_years,
    parse_dates,
    unit_trouble,
    without_zone,
)

logger = logging.getLogger(__name__)

USER: Final = "@user"
ITEM: Final = "@item"
TIME: Final = "@time"
WEIGHT: Final = "@weight"
PART: Final = "@part"
ROW: Final = "@row"
"""Column with the number of the row in its file, from 1 on, for messages."""

REPAIR = "Repair or remove them"
SET_FORMAT = "Repair it, or set data.time_format if all dates have another form, like '%m/%d/%Y'"


def require_column(frame: pl.DataFrame, column: str, path: Path | str, setting: str) -> None:
    """Refuse a file that lacks the column, or whose column holds no single values.

    Raises:
        DataError: there is no such column (the message offers the nearest name), or it is nested.
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
        DataError: a column is missing, or a time, weight or label cannot be read; the message
            names the row.
    """
    roles = {"user": config.user, "item": config.item, "time": config.time}
    roles |= {"weight": config.weight, "label": config.label}
    if config.arrays and config.label is None:
        roles["label"] = PART_COLUMN
    for role, column in roles.items():
        if column is not None:
            require_column(frame, column, path, f"data.{role}")
    frame = frame.with_row_index(ROW, offset=1)
    words = config.clean.missing_ids
    added = [
        id_text(frame[column], path, words).alias(role)
        for column, role in ((config.user, USER), (config.item, ITEM))
    ]
    if config.time is not None:
        added.append(_seconds(frame, config.time, path, config).alias(TIME))
    if config.weight is not None:
        wanted = "a weight: a finite number within float32"
        weights = numbers(frame, config.weight, path, wanted).cast(pl.Float32)
        _require(weights.is_finite(), frame, config.weight, path, wanted)
        added.append(weights.alias(WEIGHT))
    if roles["label"] is not None:
        added.append(_parts(frame, roles["label"], path).alias(PART))
    return frame.with_columns(added)


def numbers(
    frame: pl.DataFrame,
    column: str,
    source: Path | str,
    wanted: str,
    missing: bool = False,
    remedy: str = REPAIR,
) -> pl.Series:
    """Return the column as Float64.

    With ``missing`` a null (or NaN) is no error and stays null.

    Raises:
        DataError: a row holds no finite number; the message names the first such row.
    """
    values = frame[column]
    if values.dtype.is_nested() or values.dtype.is_temporal():
        raise DataError(f"{source}: column {column!r} holds {values.dtype}, not {wanted}.")
    if missing and values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
    result = values.cast(pl.Float64, strict=False)
    good = result.is_finite().fill_null(False)
    _require(good | values.is_null() if missing else good, frame, column, source, wanted, remedy)
    return result


def _seconds(frame: pl.DataFrame, column: str, path: Path, config: DataConfig) -> pl.Series:
    """Return whole seconds since 1970 (UTC) from dates, texts of dates, or numbers."""
    times, form = frame[column], config.time_format
    if times.dtype == pl.Date or isinstance(times.dtype, pl.Datetime):
        _refuse_idle(config, path, column, f"{times.dtype}, which tells its times by itself")
        seconds = epoch(times)
        _require(seconds.is_not_null(), frame, column, path, "a time")
    elif form is not None:
        seconds = parse_dates(times.cast(pl.String), form)
        wanted = f"a date of data.time_format = {form!r}"
        _require(seconds.is_not_null(), frame, column, path, wanted)
    elif (dates := _dates(times)) is not None:
        _refuse_idle(config, path, column, "dates")
        seconds = dates
        _require(seconds.is_not_null(), frame, column, path, f"a date like {EXAMPLES}", SET_FORMAT)
        _warn_of_zones(times, path, column)
    else:
        seconds = _from_numbers(frame, column, path, config)
    _warn_of_years(frame, column, path, seconds)
    return seconds.floor().cast(pl.Int64)


def _dates(times: pl.Series) -> pl.Series | None:
    """Return the seconds of texts, at least one of which is a date; None for numbers."""
    if times.dtype != pl.String or times.cast(pl.Float64, strict=False).is_not_null().all():
        return None
    dates = parse_dates(times)
    return dates if dates.is_not_null().any() else None


def _from_numbers(frame: pl.DataFrame, column: str, path: Path, config: DataConfig) -> pl.Series:
    """Return the seconds of numbers that are in ``data.time_unit``."""
    remedy = SET_FORMAT if frame[column].dtype == pl.String else REPAIR
    wanted = f"a time: a number or a date like {EXAMPLES}"
    values = numbers(frame, column, path, wanted, remedy=remedy)
    trouble = unit_trouble(values, config.time_unit)
    if trouble is not None:
        remedy = "Repair or remove the rows"
        if looks_like_calendar_days(values // 1_000_000):
            remedy = "These look like dates: set data.time_format = '%Y%m%d%H%M%S'"
        elif trouble.likely is not None:
            remedy = f"These look like {trouble.likely}: set data.time_unit = {trouble.likely!r}"
        row, value, count = _first(frame, column, trouble.bad)
        raise DataError(
            f"{path}, row {row}: column {column!r} holds {value!r}, which {trouble.what} "
            f"({count} such rows; the header is not counted). {remedy}."
        )
    if config.time_unit == "seconds" and looks_like_calendar_days(values):
        logger.warning(
            "%s: column %r holds numbers like %r, which are read as seconds since 1970; set "
            "data.time_format = '%%Y%%m%%d' if they are dates",
            *(path, column, frame[column][0]),
        )
    return values / PER_SECOND[config.time_unit]


def _refuse_idle(config: DataConfig, path: Path, column: str, held: str) -> None:
    unit, form = config.time_unit, config.time_format
    idle = f"time_format = {form!r}" if form is not None else f"time_unit = {unit!r}"
    if form is not None or unit != "seconds":
        raise DataError(
            f"{path}: data.{idle} has no effect, because column {column!r} holds {held}. Remove it."
        )


def _warn_of_zones(texts: pl.Series, path: Path, column: str) -> None:
    named, unnamed = without_zone(texts)
    if named and unnamed:
        logger.warning(
            "%s: column %r names a zone in %s and none in %s; the latter count as UTC",
            *(path, column, quantity(named, "row"), quantity(unnamed, "row")),
        )


def _warn_of_years(frame: pl.DataFrame, column: str, path: Path, seconds: pl.Series) -> None:
    trouble = odd_years(seconds)
    if trouble is not None:
        row, value, count = _first(frame, column, trouble.bad)
        moment = pl.from_epoch(seconds[row - 1 : row].cast(pl.Int64)).cast(pl.Date)
        logger.warning(
            "%s, row %d: column %r holds %r, which is read as %s and %s (%s). A 0 or "
            "-1 often stands for a missing time; drop such rows with data.clean.rules",
            *(path, row, column, value, moment.cast(pl.String)[0], trouble.what),
            quantity(count, "such row"),
        )


def _parts(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    codes = {str(code): code for code in range(3)} | {part: i for i, part in enumerate(PARTS)}
    labels = id_text(frame[column], path)
    parts = labels.replace_strict(codes, default=None, return_dtype=pl.Int8)
    wanted = "a label: 0, 1, 2 or train, valid, test"
    _require(parts.is_not_null(), frame, column, path, wanted)
    return parts


def _first(frame: pl.DataFrame, column: str, bad: pl.Series) -> tuple[int, object, int]:
    """Return number and value of the first bad row, and the count of bad rows."""
    rows = frame.filter(bad).select(ROW, column)
    if rows[column].dtype.is_temporal():  # Python has no date after the year 9999
        rows = rows.with_columns(pl.col(column).cast(pl.String))
    row, value = rows.row(0)
    return row, value, int(bad.sum())


def _require(
    good: pl.Series,
    frame: pl.DataFrame,
    column: str,
    source: Path | str,
    wanted: str,
    remedy: str = REPAIR,
) -> None:
    if not good.all():
        row, value, count = _first(frame, column, ~good)
        remedy = REPAIR if value is None or value in MISSING_IDS else remedy
        raise DataError(
            f"{source}, row {row}: column {column!r} holds {value!r}, which is not {wanted} "
            f"({count} such rows; the header is not counted). {remedy}."
        )
