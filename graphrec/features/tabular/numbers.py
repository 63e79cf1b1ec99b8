"""Read columns of the item table as numbers ``[I]``: plain ones, prices and points in time."""

import logging
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.errors import DataError
from graphrec.data.times import EXAMPLES, epoch, odd_years, parse_dates, unit_trouble

logger = logging.getLogger(__name__)

Numbers = npt.NDArray[np.float64]
"""One number per item, NaN where there is none."""

REPAIR = "Repair them, leave them empty for missing, or move the column."

# A closed list: a number with any other word beside it (12k, 3 pcs, 5 mio) is no price.
CURRENCY = (
    r"(?:(?i:USD|EUR|GBP|JPY|CNY|RMB|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|"
    r"INR|IDR|KRW|TWD|HKD|SGD|MYR|THB|PHP|VND|BRL|MXN|ARS|CLP|COP|PEN|ZAR|ILS|AED|SAR|EGP|NGN|PKR)"
    r"|(?:US|AU?|CA?|NZ|HK|NT|MX|R|S)?\p{Sc}|kr\.?|Rs\.?|Fr\.?|zł|Kč)"
)
LARGEST = float(np.finfo(np.float32).max)
"""Largest float32, the type of features: larger numbers would be infinite."""

MINUS = r"[-\x{2212}]"
GAP = r"'\x{2019}\s"
"""Apostrophes and spaces, which may separate thousands with either decimal mark."""

PRICE = (
    rf"^(?<minus>{MINUS}?)\s*(?<before>{CURRENCY}?)\s*(?<inner>{MINUS}?)\s*"
    rf"(?<number>[.,]?\d(?:[\d.,{GAP}]*\d)?)\s*(?<after>{CURRENCY}?)$"
)


def read_numbers(column: pl.Series, item_ids: pl.Series, log: bool) -> Numbers:
    """Read numbers, or log(1 + x) of them.

    Raises:
        DataError: a value is not a finite number (above -1 for log).
    """
    text = _flags(_text(column, "numbers"))
    numbers = text.cast(pl.Float64, strict=False)
    far = (numbers.is_not_nan() & (numbers.abs() > LARGEST)).fill_null(False)
    bad = text.is_not_null() & (numbers.is_null() | far)
    if log:
        bad |= (numbers <= -1).fill_null(False)
    wanted = "a finite number above -1, as log needs it" if log else "a finite number"
    _refuse(column, item_ids, bad, f"is not {wanted}", REPAIR)
    result = _filled(numbers)
    return np.log1p(result) if log else result


def read_prices(
    column: pl.Series, item_ids: pl.Series, decimal: Literal[".", ","] | None
) -> Numbers:
    """Read log(1 + x) of prices: numbers, or texts like $1,299.50, 1.299,50 EUR and USD 12.

    Raises:
        DataError: a value is no price, has two readings, or is negative.
    """
    text = _text(column, "prices")
    if text.dtype == pl.String:
        parts = text.str.extract_groups(PRICE).struct.unnest()
        readings = [_number(parts["number"], mark) for mark in (decimal or ".,")]
        prices = pl.select(pl.coalesce(readings)).to_series()
        unclear = (readings[0] != readings[-1]).fill_null(False)
        what = "can be read with a decimal point and with a decimal comma"
        _refuse(column, item_ids, unclear, what, 'Set decimal = "." or decimal = ",".')
        minus = ((parts["minus"] != "") | (parts["inner"] != "")).fill_null(False)
        prices = pl.select(pl.when(minus).then(-prices).otherwise(prices)).to_series()
        _warn_of_currencies(column.name, parts)
    else:
        prices = text.cast(pl.Float64)
    bad = text.is_not_null() & (prices.is_null() | prices.is_infinite().fill_null(False))
    _refuse(column, item_ids, bad, "is not a price like 12, $1,299.50 or 1.299,50 EUR", REPAIR)
    negative = (prices < 0).fill_null(False)
    _refuse(column, item_ids, negative, "is a negative price", REPAIR)
    return np.log1p(_filled(prices))


def read_times(
    column: pl.Series, item_ids: pl.Series, unix_seconds: bool, form: str | None = None
) -> Numbers:
    """Read seconds since 1970 (UTC) from dates, date-times and texts, or from unix seconds.

    ``form`` is a format like ``%m/%d/%Y`` instead of the grammar of dates.

    Raises:
        DataError: a value is no date, or its order of day and month is unclear.
    """
    if unix_seconds:
        times = pl.Series(column.name, read_numbers(column, item_ids, log=False)).fill_nan(None)
        trouble = unit_trouble(times)
        if trouble is not None:
            likely = f"These look like {trouble.likely}. " if trouble.likely else ""
            remedy = f"{likely}Divide milliseconds by 1000, or move the column."
            _refuse(column, item_ids, trouble.bad, trouble.what, remedy)
    elif column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        times = epoch(column)
    elif column.dtype in (pl.String, pl.Null):
        text = _text(column, "dates").cast(pl.String)
        times = parse_dates(text, form)
        wanted = f"like {EXAMPLES}" if form is None else f"of date_format = {form!r}"
        remedy = REPAIR if form is not None else f"{REPAIR} Or set date_format, like '%m/%d/%Y'."
        bad = text.is_not_null() & times.is_null()
        _refuse(column, item_ids, bad, f"is not a date {wanted}", remedy)
    else:
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, not dates. List it in unix_seconds if "
            f"these are seconds since 1970, or use numeric."
        )
    odd = odd_years(times)
    if odd is not None:
        row = int(odd.bad.arg_max() or 0)
        logger.warning(
            "column %r, item %r: %r %s (%d such items)",
            *(column.name, item_ids[row], column[row], odd.what, int(odd.bad.sum())),
        )
    return _filled(times)


def _flags(text: pl.Series) -> pl.Series:
    """Return a column of true and false as 1 and 0; any other column as it is."""
    if text.dtype != pl.String or not text.str.contains(r"^(?i:true|false)$").all():
        return text
    return text.str.to_lowercase() == "true"


def _text(column: pl.Series, wanted: str) -> pl.Series:
    """Return the column with blank texts as null."""
    if column.dtype == pl.String:
        return column.str.strip_chars().replace("", None)
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column
    raise DataError(
        f"column {column.name!r} holds {column.dtype}, not {wanted}. Use categorical or multi."
    )


def _filled(numbers: pl.Series) -> Numbers:
    result: Numbers = numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return result


def _number(texts: pl.Series, decimal: str) -> pl.Series:
    """Read digits with this decimal mark; the other mark, or a gap, separates thousands."""
    thousands = ("," if decimal == "." else ".") + GAP
    form = rf"^(?:\d+|[1-9]\d{{0,2}}(?:[{thousands}]\d{{3}})+)?(?:[{decimal}]\d+)?$"
    plain = texts.str.replace_all(rf"[{thousands}]", "").str.replace(decimal, ".", literal=True)
    fits = texts.str.contains(form)
    return pl.select(pl.when(fits).then(plain.cast(pl.Float64, strict=False))).to_series()


def _warn_of_currencies(name: str, parts: pl.DataFrame) -> None:
    marks = pl.concat([parts["before"], parts["after"]]).drop_nulls().str.to_uppercase().unique()
    marks = marks.filter(marks != "").sort()
    if len(marks) > 1:
        logger.warning(
            "column %r mixes prices in %s; they are compared as they stand",
            *(name, ", ".join(marks)),
        )


def _refuse(column: pl.Series, item_ids: pl.Series, bad: pl.Series, what: str, remedy: str) -> None:
    """Refuse the first bad item, if there is one.

    Raises:
        DataError: there is a bad item.
    """
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise DataError(
            f"column {column.name!r}, item {item_ids[row]!r}: {column[row]!r} {what} "
            f"({int(bad.sum())} such items). {remedy}"
        )
