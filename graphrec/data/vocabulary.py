"""External ids <-> internal ids 0..n-1, in an order that does not depend on the rows."""

import numpy as np
import polars as pl

from graphrec.core.errors import DataError
from graphrec.data.ids import require_one_form
from graphrec.data.interactions import IntArray

INTEGER = r"^(0|-?[1-9]\d{0,17})$"


def vocabulary(ids: pl.Series, declared: int | None, kind: str, source: str) -> pl.Series:
    """Return the distinct ids: in numeric order if all are integers, else as text.

    Args:
        ids: external ids as text, without nulls.
        declared: ``num_users`` or ``num_items``; the ids are then exactly 0..declared-1.
        kind: ``"user"`` or ``"item"``, for the message.
        source: the file or data set, for the message.

    Raises:
        DataError: ids are declared to be 0..n-1 and one is not, or one number is written in two
            ways.
    """
    distinct = ids.unique()
    require_one_form(distinct, kind, source)
    integers = bool(distinct.str.contains(INTEGER).all())
    if declared is None:
        return distinct.cast(pl.Int64).sort().cast(pl.String) if integers else distinct.sort()
    known = pl.Series(np.arange(declared)).cast(pl.String)
    unknown = distinct.filter(~distinct.is_in(known.implode())).sort()
    if len(unknown):
        raise DataError(
            f"{source}: {kind} id {unknown[0]!r} is not one of 0..{declared - 1}, which "
            f"data.num_{kind}s = {declared} declares ({len(unknown)} such ids). Correct or "
            f"remove data.num_{kind}s."
        )
    return known


def encode(ids: pl.Series, known: pl.Series) -> IntArray:
    """Return the internal id of every external id; all of them are known."""
    codes = np.arange(len(known), dtype=np.int32)
    result: IntArray = ids.replace_strict(known, codes, return_dtype=pl.Int32).to_numpy()
    return result
