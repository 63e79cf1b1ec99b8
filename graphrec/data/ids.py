"""Turn external ids into text, spelled alike in interactions, item tables and feature files."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.names import quantity

logger = logging.getLogger(__name__)

WHOLE = r"^-?\d+\.0+$"
"""Pattern of a whole number as floats are written: ``12.0``."""

SPELLINGS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "the '.0' at the end": lambda ids: ids.str.replace(r"\.0+$", ""),
    "zeros at the start": lambda ids: ids.str.strip_chars_start("0"),
    "upper and lower case": lambda ids: ids.str.to_lowercase(),
    "the ending of a file name": lambda ids: ids.str.replace(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", ""),
}
"""Differences between two spellings of one id, each with a function that removes it."""


def id_text(ids: pl.Series, source: Path | str, missing: Sequence[str] = ()) -> pl.Series:
    """Return ids as text, null where there is none.

    Whole floats lose their ``.0``, and ids the blanks around them. Empty text, NaN and the texts
    in ``missing`` become null. Changes of texts are counted in a warning.

    Raises:
        DataError: the column holds lists or structs, or floats too large to be exact.
    """
    if ids.dtype.is_nested():
        raise DataError(
            f"{source}: column {ids.name!r} holds {ids.dtype}, not one id in each row. Write one "
            f"row for each id."
        )
    if ids.dtype.is_float():
        ids = _whole(ids, source)
    text = ids.cast(pl.String)
    bare = text.str.strip_chars()
    _warn_of_blanks(text, bare, source)
    bare = bare.set(bare == "", None)
    absent = bare.is_in(pl.Series(missing, dtype=pl.String).implode()).fill_null(False)
    if absent.any():
        counts = dict(bare.filter(absent).value_counts(sort=True).rows())
        logger.warning(
            "%s: column %r holds %s, which stands for no id. If it is one, set "
            "data.clean.missing_ids to the texts that are not",
            *(source, ids.name, _words(counts)),
        )
    return bare.set(absent, None)


def require_one_form(ids: pl.Series, kind: str, source: str) -> None:
    """Refuse distinct ids among which one number is written both as ``12`` and as ``12.0``.

    Raises:
        DataError: there is such an id; the message names both forms.
    """
    floats = ids.filter(ids.str.contains(WHOLE)).sort()
    if floats.is_empty():
        return
    short = floats.str.replace(r"\.0+$", "")
    twice = short.is_in(ids.implode())
    if twice.any():
        count = quantity(int(twice.sum()), "such id")
        raise DataError(
            f"{source}: the {kind} ids hold both {short.filter(twice)[0]!r} and "
            f"{floats.filter(twice)[0]!r} ({count}), which would be two {kind}s. "
            f"Write each id in one way, without '.0'."
        )


def require_matching_ids(
    item_ids: pl.Series, given: pl.Series, source: Path | str, what: str
) -> None:
    """Refuse ids of which none is an item; warn where less than half of the items have one.

    Args:
        item_ids: ids of the items of the data.
        given: ids of the rows of another file, without nulls.
        source: that file.
        what: the setting that names the ids, for the message.

    Raises:
        DataError: no id fits; the message names an id of each side, and the difference if known.
    """
    has_row = item_ids.is_in(given.unique().implode())
    matched = int(has_row.sum())
    if 2 * matched >= len(item_ids):
        return
    stray = given.filter(~given.is_in(item_ids.implode()))
    sides = f"the data have {item_ids.filter(~has_row)[0]!r}"
    sides += f", the file has {stray[0]!r}" if len(stray) else ""
    sides += _difference(item_ids, given)
    if not matched:
        raise DataError(
            f"{source}: of its {quantity(len(given), 'id')}, none is one of the "
            f"{quantity(len(item_ids), 'item')}: "
            f"{sides}. Write the ids in one way, or correct {what}."
        )
    logger.warning(
        "%s: only %s of %s items have a row, and %s of %s rows belong to no item: %s. Check %s",
        *(source, f"{matched:,}", f"{len(item_ids):,}", f"{len(stray):,}", f"{len(given):,}"),
        *(sides, what),
    )


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word!r} in {quantity(count, 'row')}" for word, count in counts.items())


def _whole(ids: pl.Series, source: Path | str) -> pl.Series:
    """Return floats as integers if all of them are whole; NaN is null."""
    ids = ids.fill_nan(None)
    too_large = (ids.abs() >= (2**24 if ids.dtype == pl.Float32 else 2**53)).fill_null(False)
    if too_large.any():
        raise DataError(
            f"{source}: column {ids.name!r} holds the id {ids.filter(too_large)[0]!r} as "
            f"{ids.dtype}, which cannot tell such numbers apart ({int(too_large.sum())} such "
            f"rows). Save the ids as integers or text."
        )
    return ids.cast(pl.Int64) if (ids == ids.floor()).all() else ids


def _warn_of_blanks(text: pl.Series, bare: pl.Series, source: Path | str) -> None:
    blank = ((text != bare) & (bare != "")).fill_null(False)
    if blank.any():
        merged = text.filter(bare != "").n_unique() - bare.filter(bare != "").n_unique()
        logger.warning(
            "%s: blanks around the ids of column %r are cut off in %s, the first is %r; %s so "
            "made equal to another one",
            *(source, text.name, quantity(int(blank.sum()), "row"), text.filter(blank)[0]),
            f"{quantity(merged, 'id')} {'is' if merged == 1 else 'are'}",
        )


def _difference(item_ids: pl.Series, given: pl.Series) -> str:
    """Return, for a message, the spelling that differs if most items would have a row without."""
    for name, without in SPELLINGS.items():
        agree = without(item_ids).is_in(without(given).unique().implode())
        if 2 * int(agree.sum()) > len(item_ids):
            return f"; they differ in {name}"
    return ""
