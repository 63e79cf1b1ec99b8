"""Test whether two systems differ by more than chance, over users and over training seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes a second to import

from graphrec.core.errors import DataError

Values = npt.NDArray[np.float64]

BLOCK_CELLS = 1 << 22
"""Entries of the matrix of user counts held at once; changes speed and memory, never a result."""


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison of two systems, as ours - theirs.

    Attributes:
        difference: difference of the means over seeds and users.
        low, high: ends of the interval of the difference.
        p: probability of a difference over users at least as large if there is none.
    """

    difference: float
    low: float
    high: float
    p: float


def compare(
    ours: Values, theirs: Values, *, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> Comparison:
    """Compare a metric of two systems on the same users.

    With d_u = mean_s ours_su - mean_s theirs_su:

        difference  mean_u d_u
        p           two-sided t-test of mean_u d_u = 0 over the n users
        interval    quantiles (1 -+ level) / 2 of the difference over ``draws`` samples of n users
                    (the same for both) and S - 1 of the S seeds of either, all with replacement

    The t-test asks whether these trained models differ for other users. The interval also covers
    other seeds; a difference is credible if both agree. From a single seed nothing follows about
    others: then the interval is one over users. The seeds of the two systems are drawn apart, even
    where they are the same numbers.

    Source: the t-test for rankings smucker2007comparison; users and seeds drawn apart
    owen2007pigeonhole, Section 3; S - 1 of S seeds, because S of S would make the variance over
    seeds too small by (S - 1) / S, rao1988resampling.

    Shapes:
        ours: ``[S, n]`` float, a row per seed; theirs: ``[S', n]``, the users in the same order.

    Raises:
        DataError: the numbers of users differ or are below two, or a value is not finite.
    """
    _require_comparable(ours, theirs)
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    sampled = _resampled(ours, theirs, np.random.default_rng(seed), draws)
    low, high = np.quantile(sampled, [(1 - level) / 2, (1 + level) / 2])
    return Comparison(float(differences.mean()), float(low), float(high), _p_value(differences))


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values so that any false rejection among them is as rare as the level allows.

    With p_(1) <= ... <= p_(m):  adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).

    Source: holm1979simple.

    Shapes:
        p and result: m values in the same order.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return [float(value) for value in adjusted]


def _require_comparable(ours: Values, theirs: Values) -> None:
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1]:
        raise DataError(
            f"Systems can be compared on the same users only, as [seeds, users]; these are "
            f"{list(ours.shape)} and {list(theirs.shape)}."
        )
    if ours.shape[1] < 2 or not ours.shape[0] or not theirs.shape[0]:
        raise DataError("A comparison needs at least two users, and one seed of either system.")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise DataError("A value of the metric is not a finite number.")


def _p_value(differences: Values) -> float:
    if np.ptp(differences) == 0:  # the statistic of the test is 0 / 0 or x / 0
        return 1.0 if differences[0] == 0 else 0.0
    count = len(differences)
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(count))
    return float(2 * special.stdtr(count - 1, -abs(t)))


def _resampled(ours: Values, theirs: Values, rng: np.random.Generator, draws: int) -> Values:
    """Return the difference in every draw, ``[draws]``: user weights x values x seed weights."""
    num_users, num_ours = ours.shape[1], len(ours)
    both = np.concatenate([ours, theirs]).T
    seeds = np.hstack(
        [_seed_weights(rng, draws, num_ours), -_seed_weights(rng, draws, len(theirs))]
    )
    rows = max(1, BLOCK_CELLS // num_users)
    sampled = np.empty(draws)
    for start in range(0, draws, rows):
        block = slice(start, min(start + rows, draws))
        means = _user_counts(rng, block.stop - start, num_users) @ both / num_users
        sampled[block] = (means * seeds[block]).sum(axis=1)
    return sampled


def _user_counts(rng: np.random.Generator, draws: int, num_users: int) -> Values:
    """Return how often each user is drawn, ``[draws, n]``; each row sums to n."""
    drawn = rng.integers(num_users, size=(draws, num_users))
    drawn += num_users * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * num_users)
    return counts.reshape(draws, num_users).astype(np.float64)


def _seed_weights(rng: np.random.Generator, draws: int, num_seeds: int) -> Values:
    taken = max(1, num_seeds - 1)
    counts = rng.multinomial(taken, np.full(num_seeds, 1 / num_seeds), size=draws)
    return counts / taken
