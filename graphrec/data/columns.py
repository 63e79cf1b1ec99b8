"""Convert columns of unusual types, and refuse columns that cannot serve as a role, by row."""

import re
from typing import Final

import polars as pl

from graphrec.core.errors import DataError
from graphrec.data.config import DataConfig
from graphrec.data.sources import Source, is_utf8

INT64: Final = 2.0**63
FLOAT32: Final = 3.4028235e38
"""Bound of a weight: the largest float32."""
SMALL: Final = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.Boolean)
"""Types whose values all fit."""
BRACKETS: Final = r"^\s*\[.*\]\s*$"
SEPARATED: Final = r"\S[ |,;\t]+\S"
"""Pattern of a text with several tokens."""
CODES: Final = r"^\s*[^\s|,;]*\d[^\s|,;]*(?:[, ]+[^\s|,;]*\d[^\s|,;]*)+\s*$"
"""Pattern of a text with several tokens between blanks, each with a digit."""
SAMPLE: Final = 20_000
"""Number of first rows in which fields with several ids are looked for."""
MANY: Final = 0.5
"""Share of texts above which a column is taken to hold several ids in each field."""
SOME: Final = 0.1
"""Share of texts with several codes above which the codes are taken to be ids."""
RECUR: Final = 0.75
"""Ratio of distinct tokens to tokens below which tokens recur."""
ALONE: Final = 1.1
"""Users per text up to which a text is taken to belong to one user."""


def plain_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return categories as text, bytes as text where they are UTF-8, and decimals as numbers."""
    return frame.with_columns(_plain(column) for column in frame.iter_columns())


def _plain(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(kind, pl.Decimal):
        if kind.scale == 0:
            whole = column.cast(pl.Int64, strict=False)
            return whole if whole.null_count() == column.null_count() else column.cast(pl.String)
        return column.cast(pl.Float64)
    if kind == pl.Binary:
        try:
            return column.cast(pl.String)
        except pl.exceptions.PolarsError:
            return column  # Pictures, for example; refused only where text is wanted.
    return column


def require_fit(frame: pl.DataFrame, config: DataConfig, source: Source) -> None:
    """Refuse columns whose type or values cannot be ids, times or weights.

    Missing columns are left to ``add_roles``.

    Raises:
        DataError: a column does not fit; the message names the column, its type and a row.
    """
    names = {"user": config.user, "item": config.item}
    for role, name in names.items():
        if name in frame.columns:
            _require_id(frame[name], role, source)
    if set(names.values()) <= set(frame.columns):
        for role, other in (("user", "item"), ("item", "user")):
            _refuse_sequences(frame[names[role]], frame[names[other]], role, source)
    for column, role, limit in (
        (config.time, "time", INT64),
        (config.weight, "weight", FLOAT32),
    ):
        if column is not None and column in frame.columns:
            _require_number(frame[column], role, limit, source)


def _require_id(column: pl.Series, role: str, source: Source) -> None:
    kind = column.dtype
    if isinstance(kind, pl.List | pl.Array):
        raise _several(column, role, source, f"holds {kind}")
    if not (kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Null, pl.Date)):
        bad = _undecodable(column) if kind == pl.Binary else column.is_not_null()
        raise _unfit(column, bad, f"{kind}, which is no id: text or a number", role, source)


def _undecodable(column: pl.Series) -> pl.Series:
    """Return a mask of the values that are not UTF-8."""
    return pl.Series([value is not None and not is_utf8(value) for value in column])


def _several(column: pl.Series, role: str, source: Source, what: str) -> DataError:
    """Return the error for fields with several values; it names the setting that unrolls them."""
    first = str((column.drop_nulls().head(1).to_list() or [""])[0])
    inner = column.dtype.inner if isinstance(column.dtype, pl.List | pl.Array) else None
    fields = [field.name for field in inner.fields] if isinstance(inner, pl.Struct) else []
    name = column.name
    then = (
        f' and data.{role} = "{name}.{fields[0]}" (fields: {", ".join(fields)})' if fields else ""
    )
    literal = inner is not None or re.search(BRACKETS, first)
    text = "" if literal else ", and data.unroll_separator to what stands between them"
    return DataError(
        f"{source.path}: column {name!r}, which data.{role} names, {what}, such as "
        f'{first[:60]!r}. Set data.unroll = "{name}"{then} to make a row of each entry{text}.'
    )


def _refuse_sequences(column: pl.Series, other: pl.Series, role: str, source: Source) -> None:
    """Refuse texts with several ids in each: lists in brackets, or tokens that recur.

    Names of several words have recurring tokens, too. But a name occurs with many users, whereas a
    sequence occurs with its own user only.
    """
    if column.dtype != pl.String:
        return
    pairs = pl.DataFrame({"text": column, "other": other}).head(SAMPLE).drop_nulls()
    texts = pairs["text"]
    sequences = texts.str.contains(BRACKETS).sum() > MANY * len(texts)
    several = pairs.filter(texts.str.contains(SEPARATED)).unique()
    coded = several["text"].str.contains(CODES).sum()
    distinct = several["text"].unique()
    if len(several) <= ALONE * len(distinct):
        tokens = distinct.str.extract_all(r"[^ |,;\t]+").explode()
        recur = tokens.n_unique() < RECUR * len(tokens)
        sequences |= recur and len(several) > MANY * pairs.n_unique()
        sequences |= coded > SOME * pairs.n_unique()
    if sequences:
        raise _several(column, role, source, "seems to hold several ids in each field")


def _require_number(column: pl.Series, role: str, limit: float, source: Source) -> None:
    kind = column.dtype
    times = (pl.Date, pl.Datetime) if role == "time" else (pl.Boolean,)
    if isinstance(kind, pl.List | pl.Array):
        raise _several(column, role, source, f"holds {kind}")
    if not (kind.is_numeric() or kind in (pl.String, pl.Null, *times)):
        raise _unfit(column, column.is_not_null(), f"{kind}, which is no {role}", role, source)
    if kind.is_temporal() or kind in SMALL:
        return
    sizes = column.cast(pl.Float64, strict=False).abs()
    far = (sizes.is_finite() & (sizes >= limit)).fill_null(False)
    if far.any():
        raise _unfit(column, far, f"a number too large for a {role}", role, source)


def _unfit(column: pl.Series, bad: pl.Series, what: str, role: str, source: Source) -> DataError:
    row = int(bad.arg_max() or 0) if bad.any() else 0
    value = repr(column[row])[:60] if len(column) else "nothing"
    return DataError(
        f"{source.path}, row {row + 1}: column {column.name!r} holds {value}: {what} "
        f"({int(bad.sum())} such rows; the header is not counted). Repair it, or choose another "
        f"column as data.{role}."
    )
