"""Split a ``Dataset`` into train, valid and a sealed test part.

Each rule of ``SPLITS`` returns the part of every interaction.
"""

import logging
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from graphrec.core.errors import DataError
from graphrec.core.names import resolve
from graphrec.core.rng import numpy_stream
from graphrec.data.config import SplitConfig
from graphrec.data.dataset import Dataset, Step
from graphrec.data.interactions import Interactions
from graphrec.data.split import SealedTest, Split, require_disjoint

Parts = npt.NDArray[np.int8]
TRAIN, VALID, TEST = np.int8(0), np.int8(1), np.int8(2)
MIN_INTERACTIONS = 3
"""Least interactions of a user with a valid or test part; three parts need three of them."""

logger = logging.getLogger(__name__)


def split(dataset: Dataset, config: SplitConfig) -> Split:
    """Divide the interactions by the rule ``config.kind``.

    Raises:
        DataError: the rule needs times or a given split that the data lack, train would be
            empty, a pair stands in two parts, or there are cold users (``config.cold_users``).
    """
    rule = resolve(config.kind, SPLITS, "split")
    parts = rule(dataset, config)
    require_disjoint(dataset, parts)
    if not (parts == TRAIN).any():
        raise DataError(
            f"Data set {dataset.name!r}: the split {config.kind!r} leaves nothing to train on. "
            f"Raise the first of split.ratios, or use another split.kind."
        )
    chosen, steps = _without_cold_users(dataset, parts, config)
    data = dataset.interactions
    return Split(
        train=data.select(parts == TRAIN),
        valid=data.select((parts == VALID) & chosen),
        test=SealedTest(data.select((parts == TEST) & chosen)),
        rule=_describe(config),
        steps=steps,
    )


def given(dataset: Dataset, config: SplitConfig) -> Parts:
    """Return the parts that the source prescribes.

    Raises:
        DataError: the source prescribes none.
    """
    if dataset.parts is None:
        raise DataError(
            f"Data set {dataset.name!r} prescribes no split. Set data.train and data.test or "
            f"data.label, or choose another split.kind: {', '.join(sorted(SPLITS))}."
        )
    return dataset.parts


def random(dataset: Dataset, config: SplitConfig) -> Parts:
    """Put a random share of each user's interactions into each part."""
    noise = numpy_stream(config.seed, "split").random(len(dataset.interactions))
    return _tail_parts(dataset.interactions, (noise,), config.ratios)


def leave_one_out(dataset: Dataset, config: SplitConfig) -> Parts:
    """Put each user's latest interaction into test and the one before into valid.

    Without times, two random interactions take their places.
    """
    data = dataset.interactions
    if data.times is None:
        keys: tuple[npt.NDArray[np.generic], ...] = (
            numpy_stream(config.seed, "split").random(len(data)),
        )
    else:
        keys = (data.items, data.times)
    return _tail_parts(data, keys, None)


def temporal_user(dataset: Dataset, config: SplitConfig) -> Parts:
    """Put each user's latest interactions into valid and test; equal times go by item id."""
    data = dataset.interactions
    return _tail_parts(data, (data.items, _times(dataset, config)), config.ratios)


def temporal_global(dataset: Dataset, config: SplitConfig) -> Parts:
    """Cut at two points in time for all users; interactions at one time stay together."""
    times = _times(dataset, config)
    ordered = np.sort(times)
    parts = np.full(len(times), TRAIN)
    train, valid, test = config.ratios
    for share, code, ratio in ((train, VALID, valid + test), (train + valid, TEST, test)):
        if ratio > 0:
            cut = min(int(np.floor(share * len(times) + 0.5)), len(times) - 1)
            parts[times >= ordered[cut]] = code
    return parts


SPLITS: Mapping[str, Callable[[Dataset, SplitConfig], Parts]] = {
    "given": given,
    "random": random,
    "leave_one_out": leave_one_out,
    "temporal_user": temporal_user,
    "temporal_global": temporal_global,
}


def _tail_parts(
    data: Interactions,
    keys: tuple[npt.NDArray[np.generic], ...],
    ratios: tuple[float, float, float] | None,
) -> Parts:
    """Order each user's rows by ``keys`` (last key first); the last go to test, then to valid.

    For a user with n >= 3 rows and a ratio r > 0, a part gets max(1, floor(r n + 0.5)) rows;
    without ratios exactly one.
    """
    order = np.lexsort((*keys, data.users))
    counts = np.bincount(data.users, minlength=data.num_users)
    starts = np.cumsum(counts) - counts
    users = data.users[order]
    from_end = counts[users] - 1 - (np.arange(len(data)) - starts[users])
    num_valid, num_test = (_part_sizes(counts, ratios, part) for part in (1, 2))
    parts = np.full(len(data), TRAIN)
    is_test = from_end < num_test[users]
    is_valid = ~is_test & (from_end < (num_test + num_valid)[users])
    parts[order[is_test]] = TEST
    parts[order[is_valid]] = VALID
    return parts


def _part_sizes(
    counts: npt.NDArray[np.int64], ratios: tuple[float, float, float] | None, part: int
) -> npt.NDArray[np.int64]:
    if ratios is None:
        sizes = np.ones_like(counts)
    elif ratios[part] == 0:
        sizes = np.zeros_like(counts)
    else:
        sizes = np.maximum(1, np.floor(ratios[part] * counts + 0.5).astype(np.int64))
    return np.where(counts >= MIN_INTERACTIONS, sizes, 0)


def _times(dataset: Dataset, config: SplitConfig) -> npt.NDArray[np.int64]:
    if dataset.interactions.times is None:
        raise DataError(
            f"Data set {dataset.name!r} has no times, which split.kind = {config.kind!r} needs. "
            f"Name the column in data.time, or use split.kind = 'random'."
        )
    return dataset.interactions.times


def _without_cold_users(
    dataset: Dataset, parts: Parts, config: SplitConfig
) -> tuple[npt.NDArray[np.bool_], tuple[Step, ...]]:
    """Return a mask of the rows to keep under ``config.cold_users``, and the step of dropping."""
    data = dataset.interactions
    trained = np.bincount(data.users[parts == TRAIN], minlength=data.num_users) > 0
    chosen = trained[data.users]
    if chosen.all() or config.cold_users == "keep":
        return np.ones(len(data), dtype=np.bool_), ()
    cold = np.unique(data.users[~chosen])
    if config.cold_users == "error":
        raise DataError(
            f"Data set {dataset.name!r}: {len(cold)} users have valid or test items but none in "
            f"train, first user {dataset.user_ids[int(cold[0])]!r}. Set split.cold_users to "
            f"'drop' (leave them out) or 'keep' (rank for them anyway)."
        )
    step = Step("cold users", len(data), int(chosen.sum()), f"{len(cold)} users dropped")
    logger.info("%s: %d cold users dropped from valid and test", dataset.name, len(cold))
    return chosen, (step,)


def _describe(config: SplitConfig) -> str:
    """Return the rule in words, with the settings that it uses."""
    if config.kind == "given":
        return "given"
    if config.kind == "leave_one_out":
        return f"leave_one_out(seed={config.seed})"
    ratios = "/".join(f"{ratio:g}" for ratio in config.ratios)
    seed = f", seed={config.seed}" if config.kind == "random" else ""
    return f"{config.kind}({ratios}{seed})"
