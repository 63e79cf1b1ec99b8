"""Parse and check points in time: one grammar of dates for interactions and attributes.

A date without a zone is a date in UTC.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from graphrec.core.names import quantity
from graphrec.data.config import TimeUnit

PER_SECOND: Final[dict[TimeUnit, int]] = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}

LIKELY = (10**8, 10**10)
"""Seconds from 1973 to 2286: the unit of numbers in this range, or a power of 1000 above, shows."""

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_800
"""Seconds of the years 1 to 9999: numbers beyond are milliseconds, or no times at all."""

YEAR_1900, YEAR_1973, YEAR_2001, YEAR_2101 = -2_208_988_800, 10**8, 10**9, 4_133_980_800

DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d-%B-%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y")
"""Formats that fix the order of day and month; 01/02/2024 could be either and is refused."""

EXAMPLES = "2024-01-31, 2024-01-31T18:00Z, 31.01.2024 or 31 Jan 2024"
"""Dates of the grammar, for messages."""

MOMENT = (
    r"^(?<date>.*?\d{4}.*?)(?:[T\s]\s*(?<hour>[01]?\d|2[0-3]):(?<minute>[0-5]\d)"
    r"(?::(?<second>[0-5]\d(?:[.,]\d+)?))?"
    r"\s*(?<zone>Z|UTC|GMT|(?<sign>[+-])(?<hours>\d\d):?(?<minutes>\d\d)?)?)?$"
)


@dataclass(frozen=True)
class Trouble:
    """Rows whose values cannot be the times that they should be.

    Attributes:
        bad: mask of the rows, without nulls.
        what: the fault in words, which completes "holds X, ...".
        likely: the unit that the numbers seem to have.
    """

    bad: pl.Series
    what: str
    likely: TimeUnit | None = None


def parse_dates(texts: pl.Series, form: str | None = None) -> pl.Series:
    """Return seconds since 1970 (UTC) as Float64, null where a text is no date.

    Args:
        texts: dates with or without a time of day and a zone.
        form: a format like ``%d.%m.%Y %H:%M`` instead of the grammar.
    """
    texts = texts.str.strip_chars()
    if form is not None:
        return epoch(texts.str.to_datetime(form, strict=False, time_unit="us"))
    parts = texts.str.extract_groups(MOMENT).struct.unnest()
    days = pl.Series([None] * len(texts), dtype=pl.Date)
    for date_format in DATES:
        if days.null_count() > texts.null_count():
            days = pl.select(
                pl.coalesce(days, parts["date"].str.to_date(date_format, strict=False))
            ).to_series()
    hours, minutes = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hours", "minutes"))
    sign = pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    clock = {"hour": 3600, "minute": 60, "second": 1}
    seconds = [
        pl.col(name).str.replace(",", ".").cast(pl.Float64).fill_null(0) * size
        for name, size in clock.items()
    ]
    start = days.dt.epoch("s").cast(pl.Float64)
    shift = sign * (hours * 3600 + minutes * 60)
    return parts.select(start + pl.sum_horizontal(seconds) - shift).to_series()


def epoch(moments: pl.Series) -> pl.Series:
    """Return seconds since 1970 (UTC) of dates or date-times, as Float64."""
    return moments.cast(pl.Datetime("us", getattr(moments.dtype, "time_zone", None))).dt.epoch(
        "us"
    ) / float(10**6)


def without_zone(texts: pl.Series) -> tuple[int, int]:
    """Return the number of date-times with a zone and the number without."""
    parts = texts.str.strip_chars().str.extract_groups(MOMENT).struct.unnest()
    named = int(parts["zone"].is_not_null().sum())
    return named, int((parts["hour"].is_not_null() & parts["zone"].is_null()).sum())


def unit_trouble(numbers: pl.Series, unit: TimeUnit = "seconds") -> Trouble | None:
    """Return the rows that are in another unit than the others, or in no year from 1 to 9999."""
    low, high = LIKELY
    ranges = {
        name: numbers.is_between(low * size, high * size, closed="left").fill_null(False)
        for name, size in PER_SECOND.items()
    }
    counts = {name: int(mask.sum()) for name, mask in ranges.items() if mask.any()}
    if len(counts) > 1:
        usual, *_, rare = sorted(counts, key=counts.__getitem__, reverse=True)
        verb = "looks" if counts[usual] == 1 else "look"
        what = f"looks like {rare}, while {quantity(counts[usual], 'row')} {verb} like {usual}"
        return Trouble(ranges[rare], what)
    (likely,) = counts or (None,)
    size = PER_SECOND[unit]
    if likely is not None and PER_SECOND[likely] < size:
        return Trouble(ranges[likely], f"is not a number of {unit} after 1973", likely)
    far = ~numbers.is_between(FIRST_SECOND * size, LAST_SECOND * size, closed="left")
    far = far.fill_null(False)
    if not far.any():
        return None
    return Trouble(far, f"is not a number of {unit} since 1970 in the years 1 to 9999", likely)


def odd_years(seconds: pl.Series) -> Trouble | None:
    """Return the times before 1900, from 2101 on, or around 1970 where most are after 2001."""
    odd = (seconds < YEAR_1900) | (seconds >= YEAR_2101)
    early = seconds < YEAR_1973
    if early.any():
        median = seconds.median()
        if isinstance(median, float) and median >= YEAR_2001:
            odd |= early
    odd = odd.fill_null(False)
    if not odd.any():
        return None
    return Trouble(odd, "is an unlikely year")


def looks_like_calendar_days(numbers: pl.Series) -> bool:
    """Return whether all numbers read like dates such as 20240131."""
    if not numbers.is_between(19_000_101, 21_001_231).all():
        return False
    days = numbers.cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False)
    return len(days) > 0 and not days.has_nulls()
