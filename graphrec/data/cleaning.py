"""Clean the rows by filters, duplicates and k-core; each step is recorded as a ``Step``.

``filter_rows`` (missing ids, column rules) leaves the rows from which item attributes are gathered.
``to_pairs`` (duplicates, smallest weight, k-core) leaves one row per interaction.
"""

import logging
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.names import quantity
from graphrec.data.config import CleanConfig, ColumnRule
from graphrec.data.dataset import Step
from graphrec.data.roles import ITEM, PART, TIME, USER, WEIGHT, numbers, require_column

logger = logging.getLogger(__name__)

Steps = tuple[Step, ...]


def filter_rows(
    frame: pl.DataFrame, config: CleanConfig, source: str
) -> tuple[pl.DataFrame, Steps]:
    """Drop rows without a user or item id, then the rows that a column rule excludes.

    Raises:
        DataError: a rule names an unknown column, or no row is left.
        ConfigError: a rule has no condition or a malformed regular expression.
    """
    known = frame.filter(pl.col(USER).is_not_null() & pl.col(ITEM).is_not_null())
    setting = "data.user, data.item or data.clean.missing_ids"
    steps = [_step("missing ids", frame, known, setting, source, "rows without user or item id")]
    for position, rule in enumerate(config.rules):
        setting = f"data.clean.rules[{position}]"
        kept = known.filter(_satisfies(known, rule, setting, source))
        conditions = rule.model_dump(exclude_none=True)
        note = ", ".join(f"{key}={value!r}" for key, value in conditions.items())
        steps.append(_step("rule", known, kept, f"{setting} ({note})", source, note))
        known = kept
    return known, tuple(steps)


def to_pairs(frame: pl.DataFrame, config: CleanConfig, source: str) -> tuple[pl.DataFrame, Steps]:
    """Make every user-item pair unique (per part), drop low weights, then take the k-core.

    Weights of 0 or less that are kept cause a warning: models take every pair as a positive.

    Raises:
        DataError: duplicates are refused and there is one, or no row is left.
    """
    single = _without_duplicates(frame, config.duplicates, source)
    setting = f"data.clean.duplicates = {config.duplicates!r}"
    steps = [_step("duplicates", frame, single, setting, source, config.duplicates)]
    if config.min_weight is not None:
        kept = single.filter(pl.col(WEIGHT) >= config.min_weight)
        setting = f"data.clean.min_weight = {config.min_weight:g}"
        note = f"weight of at least {config.min_weight:g}"
        steps.append(_step("min weight", single, kept, setting, source, note))
        single = kept
    if config.k_core > 1:
        core = single.filter(core_mask(_codes(single[USER]), _codes(single[ITEM]), config.k_core))
        setting = f"data.clean.k_core = {config.k_core}"
        steps.append(_step("k-core", single, core, setting, source, f"k={config.k_core}"))
        single = core
    _warn_of_negatives(single, source)
    return single, tuple(steps)


def core_mask(
    users: npt.NDArray[np.int64], items: npt.NDArray[np.int64], k: int
) -> npt.NDArray[np.bool_]:
    """Return the rows of the largest subset in which every user and item has k rows or more.

    Shapes:
        users, items: ``[E]`` codes from 0 on. Returns ``[E]`` bool.
    """
    kept = np.ones(len(users), dtype=np.bool_)
    while True:
        enough_users = np.bincount(users[kept], minlength=users.max(initial=0) + 1) >= k
        enough_items = np.bincount(items[kept], minlength=items.max(initial=0) + 1) >= k
        smaller = kept & enough_users[users] & enough_items[items]
        if smaller.sum() == kept.sum():
            return smaller
        kept = smaller


def _warn_of_negatives(pairs: pl.DataFrame, source: str) -> None:
    if WEIGHT not in pairs.columns:
        return
    low = pairs.filter(pl.col(WEIGHT) <= 0)
    if len(low):
        user, item, weight = low.select(USER, ITEM, WEIGHT).row(0)
        logger.warning(
            "%s: %s of %s have a weight of 0 or less and count as positives, the first is user "
            "%r, item %r: %g. Drop them with data.clean.min_weight",
            *(source, f"{len(low):,}", quantity(len(pairs), "interaction"), user, item, weight),
        )


def _codes(ids: pl.Series) -> npt.NDArray[np.int64]:
    return ids.rank("dense").to_numpy().astype(np.int64) - 1


def _step(
    name: str, before: pl.DataFrame, after: pl.DataFrame, setting: str, source: str, note: str
) -> Step:
    if before.is_empty():
        raise DataError(f"{source}: the files hold no rows at all.")
    if after.is_empty():
        raise DataError(
            f"{source}: the step {name!r} leaves none of {len(before)} rows. Relax {setting}."
        )
    return Step(name, len(before), len(after), note)


def _satisfies(frame: pl.DataFrame, rule: ColumnRule, setting: str, source: str) -> pl.Series:
    """Return a mask of the rows that satisfy every condition; a missing value satisfies none.

    For ``drop``, a missing value does not contain the pattern, so that its row is kept.
    """
    require_column(frame, rule.column, source, setting)
    values = frame[rule.column]
    result = pl.repeat(True, len(values), eager=True)
    if rule.keep is not None:
        result &= _contains(values, rule.keep, f"{setting}.keep")
    if rule.drop is not None:
        result &= ~_contains(values, rule.drop, f"{setting}.drop")
    if rule.min is not None or rule.max is not None:
        numeric = numbers(frame, rule.column, source, f"a number for {setting}", missing=True)
        low = rule.min if rule.min is not None else -np.inf
        high = rule.max if rule.max is not None else np.inf
        result &= ((numeric >= low) & (numeric <= high)).fill_null(False)
    if rule == ColumnRule(column=rule.column):
        raise ConfigError(f"{setting} has no condition. Give keep, drop, min or max.")
    return result


def _contains(values: pl.Series, pattern: str, setting: str) -> pl.Series:
    try:
        return values.cast(pl.String).str.contains(pattern).fill_null(False)
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"{setting} = {pattern!r} is no regular expression: {error}.") from error


def _without_duplicates(
    frame: pl.DataFrame, how: Literal["first", "last", "sum", "error"], source: str
) -> pl.DataFrame:
    # A pair in two parts of a given split is no duplicate: load() refuses it by name.
    key = [USER, ITEM, *([PART] if PART in frame.columns else [])]
    timed = TIME in frame.columns
    ordered = frame.sort(TIME, maintain_order=True) if timed else frame
    if how == "error":
        repeated = frame.filter(frame.select(key).is_duplicated())
        if len(repeated):
            user, item = repeated.select(USER, ITEM).row(0)
            raise DataError(
                f"{source}: the pair (user {user!r}, item {item!r}) occurs more than once; "
                f"{len(repeated)} rows are such repeats. Set data.clean.duplicates to first, "
                f"last or sum."
            )
        return frame
    if how == "sum":
        weight = pl.col(WEIGHT).sum() if WEIGHT in frame.columns else pl.len().cast(pl.Float32)
        times = [pl.col(TIME).last()] if timed else []
        return ordered.group_by(key, maintain_order=True).agg(weight.alias(WEIGHT), *times)
    return ordered.unique(key, keep=how, maintain_order=True)
