"""Item attributes: numbers are standardised, categories and tags become 0/1 columns."""

from typing import ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, PositiveInt, model_validator

from graphrec.config import FeatureConfig
from graphrec.errors import DataError
from graphrec.features.features import Modality
from graphrec.names import nearest

FloatDtype = TypeVar("FloatDtype", bound=np.floating)
Numbers = npt.NDArray[np.float64]


class AttributeConfig(FeatureConfig):
    """Columns of the item table that describe an item."""

    encoder: str = "attributes"
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""
    numeric: tuple[str, ...] = ()
    """Columns with a number: mean 0 and deviation 1 over the items that have one."""
    log: tuple[str, ...] = ()
    """Those of ``numeric`` of which log(1 + x) is taken first: counts and prices."""
    categorical: tuple[str, ...] = ()
    """Columns with one category."""
    multi: tuple[str, ...] = ()
    """Columns with several tags: lists, or text cut at ``separator``."""
    separator: str = Field(default="|", min_length=1)
    """What stands between the tags of a text column in ``multi``."""
    min_count: PositiveInt = 1
    """Categories and tags of fewer items share one column per attribute."""

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        if not (self.numeric or self.categorical or self.multi):
            raise ValueError("needs at least one column in numeric, categorical or multi")
        stray = [name for name in self.log if name not in self.numeric]
        if stray:
            raise ValueError(f"log names {stray[0]!r}, which is not in numeric: list it there too")
        return self


class AttributeEncoder:
    """Attributes side by side, in the order numeric, categorical, multi of the config.

    A number is ``(x - mean) / deviation`` over the items that have it, 0 where all are equal.
    An item without it gets the median, and a further 0/1 column tells which items these are.
    Categories and tags are sorted by name, the shared column of the rare ones last. An item
    with none of the attributes is missing.
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
        names = (*config.numeric, *config.categorical, *config.multi)
        table = select_columns(items, names)
        numbers = [_numbers(table[name], item_ids, name in config.log) for name in config.numeric]
        tags = [_category(table[name]) for name in config.categorical]
        tags += [_tags(table[name], config.separator) for name in config.multi]
        hot = [_one_hot(lists, config.min_count) for lists in tags]

        known = [~np.isnan(column) for column in numbers] + [block.any(axis=1) for block in hot]
        for name, has_value in zip(names, known, strict=True):
            if not has_value.any():
                raise DataError(f"column {name!r} is empty for every item. Leave it out.")
        present = np.logical_or.reduce(known)
        scaled = [_scale(column, present) for column in numbers]
        values = np.concatenate([*scaled, *hot], axis=1, dtype=np.float32)
        values[~present] = 0.0
        return Modality(values, present)


def select_columns(items: pl.DataFrame | None, names: tuple[str, ...]) -> pl.DataFrame:
    """Return the named columns of the item table.

    Raises:
        DataError: there is no table or no such column; the nearest name is offered.
    """
    if items is None:
        raise DataError(
            f"column {names[0]!r} is wanted, but the data set has no item table. "
            f"Set data.items or data.item_columns."
        )
    for name in names:
        if name not in items.columns:
            raise DataError(
                f"the item table has no column {name!r}.{nearest(name, items.columns)} "
                f"Columns: {', '.join(items.columns)}."
            )
    return items.select(list(dict.fromkeys(names)))


def standardise(values: npt.NDArray[FloatDtype]) -> npt.NDArray[FloatDtype]:
    """Return ``(x - mean) / deviation`` per column; a constant column becomes zeros.

    Shapes:
        values: ``[n, F]`` with n > 0.
    """
    mean = values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    centred: npt.NDArray[FloatDtype] = values - mean
    deviation = np.sqrt(np.square(centred).mean(axis=0, dtype=np.float64)).astype(values.dtype)
    # Rounding leaves a constant column a deviation that is tiny, not zero: compare the ends.
    varies = (values.max(axis=0) > values.min(axis=0)) & (deviation > 0)
    np.divide(centred, deviation, out=centred, where=varies)
    centred[:, ~varies] = 0.0
    return centred


def _numbers(column: pl.Series, item_ids: pl.Series, log: bool) -> Numbers:
    """Read a column as numbers ``[I]``, NaN where there is none."""
    if column.dtype == pl.String:
        text = column.str.strip_chars().replace("", None)
    elif column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        text = column
    else:
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, not numbers. Use categorical or multi."
        )
    numbers = text.cast(pl.Float64, strict=False)
    unread = text.is_not_null() & (numbers.is_null() | numbers.is_infinite().fill_null(False))
    if log:
        unread |= (numbers <= -1).fill_null(False)
    if unread.any():
        row = int(unread.arg_max() or 0)
        wanted = "a finite number above -1, as log needs it" if log else "a finite number"
        raise DataError(
            f"column {column.name!r}, item {item_ids[row]!r}: {column[row]!r} is not {wanted} "
            f"({int(unread.sum())} such items). Repair them, leave them empty for missing, or "
            f"move the column."
        )
    result: Numbers = numbers.fill_null(float("nan")).to_numpy()
    return np.log1p(result) if log else result


def _scale(column: Numbers, present: npt.NDArray[np.bool_]) -> Numbers:
    """Standardise ``[I]``; gaps get the median and, where there are any, a 0/1 column."""
    known = ~np.isnan(column)
    scaled = standardise(column[known][:, None])[:, 0]
    filled = np.full(len(column), np.median(scaled))
    filled[known] = scaled
    gaps = present & ~known
    return np.column_stack([filled, gaps]) if gaps.any() else filled[:, None]


def _category(column: pl.Series) -> pl.Series:
    """Return the column as lists of one category."""
    if column.dtype.is_nested():
        raise DataError(f"column {column.name!r} holds {column.dtype}. Use multi for lists.")
    return column.cast(pl.String).reshape((-1, 1)).cast(pl.List(pl.String))


def _tags(column: pl.Series, separator: str) -> pl.Series:
    """Return the column as lists of tags."""
    if isinstance(column.dtype, pl.List | pl.Array):
        return column.cast(pl.List(pl.String))
    if column.dtype not in (pl.String, pl.Null):
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, neither lists nor text. "
            f"Use categorical or numeric."
        )
    return column.cast(pl.String).str.split(separator)


def _one_hot(lists: pl.Series, min_count: int) -> npt.NDArray[np.bool_]:
    """Return ``[I, C]``: which item has which name; blank names are none."""
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
