"""Encode item attributes: numbers are scaled, categories and tags become 0/1 columns."""

from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, PositiveInt, model_validator

from graphrec.core.config import TimeFormat
from graphrec.core.errors import DataError
from graphrec.data import Modality
from graphrec.data.nested import flat_lists, literal_lists
from graphrec.features.columns import _scale, select_columns
from graphrec.features.config import FeatureConfig
from graphrec.features.tabular.numbers import Numbers, read_numbers, read_prices, read_times

DAY, WEEK = 86_400, 7 * 86_400
MONDAY = 4 * DAY
"""The first Monday after 1970-01-01, in seconds."""


class AttributeConfig(FeatureConfig):
    """Settings of the columns of the item table that describe an item."""

    encoder: str = "attributes"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    numeric: tuple[str, ...] = ()
    """Columns with a number, scaled to mean 0 and deviation 1 over the items that have one."""
    log: tuple[str, ...] = ()
    """Columns of ``numeric`` of which log(1 + x) is taken first: counts."""
    prices: tuple[str, ...] = ()
    """Columns with a price, as a number or as text with a currency; log(1 + x) is taken."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of the texts in ``prices``; by default recognised, and refused if unclear."""
    dates: tuple[str, ...] = ()
    """Columns with a date or date-time, encoded as point in time, in the year and in the week."""
    unix_seconds: tuple[str, ...] = ()
    """Columns of ``dates`` with numbers: seconds since 1970."""
    date_format: TimeFormat | None = None
    """Format of the texts in ``dates``, like ``%m/%d/%Y``; by default it is recognised."""
    scaling: Literal["standard", "robust"] = "standard"
    """Scaling of numbers, prices and times: by mean and deviation, or by median and quartiles."""
    categorical: tuple[str, ...] = ()
    """Columns with one category."""
    multi: tuple[str, ...] = ()
    """Columns with several tags: lists, or text cut at ``separator``."""
    separator: str = Field(default="|", min_length=1)
    """Separator of the tags in a text column of ``multi``."""
    min_count: PositiveInt = 1
    """Number of items below which categories and tags share one column per attribute."""

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        measured = self.numeric or self.prices or self.dates
        if not (measured or self.categorical or self.multi):
            raise ValueError(
                "needs at least one column in numeric, prices, dates, categorical or multi"
            )
        for part, whole in (("log", "numeric"), ("unix_seconds", "dates")):
            stray = set(getattr(self, part)) - set(getattr(self, whole))
            if stray:
                raise ValueError(
                    f"{part} names {min(stray)!r}, which is not in {whole}: list it there too"
                )
        if self.decimal is not None and not self.prices:
            raise ValueError("decimal is for prices; remove it, or list columns there")
        if self.date_format is not None and not set(self.dates) - set(self.unix_seconds):
            raise ValueError("date_format is for texts in dates; remove it, or list them there")
        if self.scaling != "standard" and not measured:
            raise ValueError("scaling is for numeric, prices and dates; remove it")
        return self


class AttributeEncoder:
    """Encoder of attributes, in the order numeric, prices, dates, categorical, multi.

    A number is ``(x - mean) / deviation`` over the items that have it, or with robust scaling
    ``(x - median) / (upper - lower quartile)``, by the deviation where the quartiles are equal;
    0 where all are equal. An item without it gets the median, and a further 0/1 column marks such
    items. A date is its scaled time and sine and cosine of its position in the year and in the week
    (UTC, from Monday on), which are 0 for an item without it. Categories and tags are sorted by
    name, the shared column of the rare ones last. An item with none of the attributes is missing.
    """

    Config: ClassVar[type[FeatureConfig]] = AttributeConfig

    def __init__(self, config: AttributeConfig) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items; values ``[I, F]``.

        Raises:
            DataError: a column is absent or empty, or does not hold what the config says.
        """
        config = self.config
        measured = (*config.numeric, *config.prices, *config.dates)
        names = (*measured, *config.categorical, *config.multi)
        table = select_columns(items, names)
        numbers = [
            read_numbers(table[name], item_ids, name in config.log) for name in config.numeric
        ]
        numbers += [read_prices(table[name], item_ids, config.decimal) for name in config.prices]
        times = [
            read_times(table[name], item_ids, name in config.unix_seconds, config.date_format)
            for name in config.dates
        ]
        tags = [_category(table[name]) for name in config.categorical]
        tags += [_tags(table[name], config.separator) for name in config.multi]
        hot = [_one_hot(lists, config.min_count) for lists in tags]

        known = [~np.isnan(column) for column in (*numbers, *times)]
        known += [block.any(axis=1) for block in hot]
        for name, has_value in zip(names, known, strict=True):
            if not has_value.any():
                raise DataError(f"column {name!r} is empty for every item. Leave it out.")
        present = np.logical_or.reduce(known)
        scaled = [_scale(column, present, config.scaling) for column in numbers]
        for column in times:
            scaled += [_scale(column, present, config.scaling), _cycles(column)]
        values = np.concatenate([*scaled, *hot], axis=1, dtype=np.float32)
        values[~present] = 0.0
        return Modality(values, present)


def _cycles(times: Numbers) -> Numbers:
    """Return sine and cosine of the position in year and week, ``[I, 4]``; gaps are 0."""
    known = ~np.isnan(times)
    seconds = times[known].astype("datetime64[s]")
    years = seconds.astype("datetime64[Y]")
    starts, ends = (year.astype("datetime64[s]") for year in (years, years + 1))
    in_year = (seconds - starts) / (ends - starts)
    in_week = (times[known] - MONDAY) / WEEK
    angles = 2 * np.pi * np.column_stack([in_year, in_year, in_week, in_week])
    result = np.zeros((len(times), 4))
    result[known] = np.where([True, False, True, False], np.sin(angles), np.cos(angles))
    return result


def _category(column: pl.Series) -> pl.Series:
    """Return the column as lists of one category."""
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, not a category. Use multi for lists."
        )
    return column.cast(pl.String).reshape((-1, 1)).cast(pl.List(pl.String))


def _tags(column: pl.Series, separator: str) -> pl.Series:
    """Return the column as lists of tags; lists of lists are flattened."""
    lists = flat_lists(column)
    if lists is not None:
        return lists
    if column.dtype not in (pl.String, pl.Null):
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, neither lists nor text. "
            f"Use categorical or numeric."
        )
    literal = literal_lists(column.cast(pl.String), "the item table")
    if literal is not None:
        return _tags(literal, separator)
    return column.cast(pl.String).str.split(separator)


def _one_hot(lists: pl.Series, min_count: int) -> npt.NDArray[np.bool_]:
    """Return the 0/1 matrix ``[I, C]`` of items and names; a blank name counts as none."""
    tags = pl.DataFrame({"row": np.arange(len(lists)), "tag": lists}).explode("tag")
    tags = tags.with_columns(pl.col("tag").str.strip_chars()).filter(pl.col("tag") != "").unique()
    counts = tags.group_by("tag").len().sort("tag")
    common = counts.filter(pl.col("len") >= min_count).select("tag").with_row_index("code")
    tags = tags.join(common, on="tag", how="left").with_columns(
        pl.col("code").fill_null(len(common))
    )
    has_rare = len(common) < len(counts)
    hot = np.zeros((len(lists), len(common) + has_rare), dtype=np.bool_)
    hot[tags["row"].to_numpy(), tags["code"].to_numpy()] = True
    return hot
