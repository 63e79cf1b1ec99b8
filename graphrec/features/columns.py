"""Choose and scale columns of an item table."""

from typing import Annotated, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BeforeValidator, Field

from graphrec.core.errors import DataError
from graphrec.core.names import nearest
from graphrec.features.tabular.numbers import Numbers

FloatDtype = TypeVar("FloatDtype", bound=np.floating)


def select_columns(items: pl.DataFrame | None, names: tuple[str, ...]) -> pl.DataFrame:
    """Return the named columns of the item table.

    Raises:
        DataError: there is no table, or no such column (the message offers the nearest name).
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
    # Rounding leaves a constant column a tiny deviation instead of 0: compare its extremes.
    varies = (values.max(axis=0) > values.min(axis=0)) & (deviation > 0)
    np.divide(centred, deviation, out=centred, where=varies)
    centred[:, ~varies] = 0.0
    return centred


def _robust(values: Numbers) -> Numbers:
    """Return ``(x - median) / (q75 - q25)`` of one column ``[n, 1]``."""
    lower, middle, upper = np.quantile(values, (0.25, 0.5, 0.75))
    spread = upper - lower
    if spread == 0:
        # More than half are equal. The others must neither vanish nor be divided by zero.
        spread = values.std() if values.max() > values.min() else 1.0
    return (values - middle) / spread


def _scale(
    column: Numbers, present: npt.NDArray[np.bool_], scaling: Literal["standard", "robust"]
) -> Numbers:
    """Scale ``[I]``; gaps get the median and, where there are gaps, a 0/1 column marks them."""
    known = ~np.isnan(column)
    values = column[known][:, None]
    scaled = (standardise(values) if scaling == "standard" else _robust(values))[:, 0]
    filled = np.full(len(column), np.median(scaled))
    filled[known] = scaled
    gaps = present & ~known
    return np.column_stack([filled, gaps]) if gaps.any() else filled[:, None]


Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]
