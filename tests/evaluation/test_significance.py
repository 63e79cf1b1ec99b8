"""The comparison of two systems against scipy, loops and simulated worlds."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from graphrec import DataError
from graphrec.evaluation import significance
from graphrec.evaluation.significance import compare, holm

Values = npt.NDArray[np.float64]


def systems(
    seed: int,
    *,
    gain: float = 0.0,
    seed_effect: float = 0.0,
    users: int = 200,
    seeds: tuple[int, int] = (3, 3),
) -> tuple[Values, Values]:
    """Two systems on users who differ, with noise per user and seed, and per seed."""
    rng = np.random.default_rng(seed)
    easy = rng.normal(0.3, 0.2, users)

    def one(num_seeds: int, mean: float) -> Values:
        shared = seed_effect * rng.standard_normal((num_seeds, 1))
        return easy + mean + shared + rng.normal(0, 0.1, (num_seeds, users))

    return one(seeds[0], gain), one(seeds[1], 0.0)


def test_the_difference_and_p_are_those_of_a_paired_t_test() -> None:
    ours, theirs = systems(0, gain=0.01, seeds=(3, 4))
    found = compare(ours, theirs, draws=10)
    expected = stats.ttest_rel(ours.mean(axis=0), theirs.mean(axis=0))
    assert found.difference == pytest.approx(ours.mean() - theirs.mean())
    assert found.p == pytest.approx(expected.pvalue)


def literal_draws(ours: Values, theirs: Values, draws: int) -> list[float]:
    rng = np.random.default_rng(99)
    num_users = ours.shape[1]
    found = []
    for _ in range(draws):
        users = rng.integers(num_users, size=num_users)
        mine = [rng.integers(len(ours)) for _ in range(len(ours) - 1)]
        other = [rng.integers(len(theirs)) for _ in range(len(theirs) - 1)]
        total = 0.0
        for row in mine:
            total += ours[row, users].mean() / len(mine)
        for row in other:
            total -= theirs[row, users].mean() / len(other)
        found.append(total)
    return found


def test_the_interval_is_that_of_a_literal_bootstrap() -> None:
    ours, theirs = systems(1, gain=0.02, seed_effect=0.02, users=50, seeds=(3, 4))
    found = compare(ours, theirs, draws=20_000)
    low, high = np.quantile(literal_draws(ours, theirs, 20_000), [0.025, 0.975])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.03 * width)
    assert found.high == pytest.approx(high, abs=0.03 * width)


def test_the_interval_does_not_depend_on_the_size_of_a_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = systems(2, users=30)
    whole = compare(ours, theirs, draws=100)
    monkeypatch.setattr(significance, "BLOCK_CELLS", 70)
    again = compare(ours, theirs, draws=100)
    assert (again.low, again.high) == pytest.approx((whole.low, whole.high))


def test_seeds_make_the_interval_as_wide_as_their_variance_says() -> None:
    """Users without any spread: what is left is the variance of two means of S seeds."""
    rng = np.random.default_rng(3)
    ours, theirs = (np.repeat(rng.normal(size=(3, 1)), 20, axis=1) for _ in range(2))
    sampled = significance._resampled(ours, theirs, np.random.default_rng(0), 50_000)
    expected = ours[:, 0].var(ddof=1) / 3 + theirs[:, 0].var(ddof=1) / 3
    assert sampled.var() == pytest.approx(expected, rel=0.03)


def test_a_single_seed_leaves_the_spread_of_users() -> None:
    ours, theirs = systems(4, users=400, seeds=(1, 1))
    found = compare(ours, theirs, draws=4000)
    error = stats.sem(ours[0] - theirs[0])
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_equal_systems_have_p_1() -> None:
    ours, _ = systems(5)
    found = compare(ours, ours.copy(), draws=50)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.low <= 0.0 <= found.high


def test_the_same_gain_for_every_user_has_p_0() -> None:
    ones = np.ones((2, 5))
    assert compare(2 * ones, ones, draws=5).p == 0.0


def test_few_null_differences_are_called_real() -> None:
    """Without effects of seeds the test holds its level, and interval and test together too."""
    found = [compare(*systems(seed), draws=200) for seed in range(400)]
    test = np.mean([each.p < 0.05 for each in found])
    both = np.mean([each.p < 0.05 and not each.low <= 0 <= each.high for each in found])
    assert 0.02 < test < 0.08
    assert both <= test


def test_luck_of_seeds_is_not_called_real_by_the_interval() -> None:
    """A seed may help all users: the test over users knows nothing of it, the interval does."""
    found = [compare(*systems(seed, seed_effect=0.02), draws=200) for seed in range(200)]
    test = np.mean([each.p < 0.05 for each in found])
    both = np.mean([each.p < 0.05 and not each.low <= 0 <= each.high for each in found])
    assert test > 0.3
    assert both < 0.15


def test_a_planted_gain_is_found() -> None:
    found = compare(*systems(7, gain=0.05))
    assert found.p < 0.001
    assert 0 < found.low < found.difference < found.high


def test_many_users_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All draws at once are 56 MB here. benchmarks/speed/significance.py has the seconds."""
    ours, theirs = systems(8, users=35_000)
    whole = compare(ours, theirs, draws=200)
    monkeypatch.setattr(significance, "BLOCK_CELLS", 4 * 35_000)
    tracemalloc.start()
    found = compare(ours, theirs, draws=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.difference, found.p) == (whole.difference, whole.p)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), rel=1e-9)
    assert peak < 30_000_000


def literal_holm(p: list[float]) -> list[float]:
    order = sorted(range(len(p)), key=lambda index: p[index])
    adjusted, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = largest
    return adjusted


def test_holm_is_the_literal_one() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        p = list(rng.random(size) ** 3)
        assert holm(p) == pytest.approx(literal_holm(p))
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_systems_that_cannot_be_compared_are_refused() -> None:
    ones = np.ones((2, 5))
    with pytest.raises(DataError, match=r"same users only.*\[2, 5\] and \[2, 4\]"):
        compare(ones, ones[:, :4])
    with pytest.raises(DataError, match="at least two users"):
        compare(ones[:, :1], ones[:, :1])
    with pytest.raises(DataError, match="not a finite number"):
        compare(ones, ones * np.nan)
