"""Exact negatives: never a positive, and exactly the distribution that was asked for."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from graphrec.core.errors import DataError
from graphrec.data import Interactions, checkerboard
from graphrec.training.sampling import NegativeSampler, shuffled_batches, user_batches

CPU = torch.device("cpu")
KINDS = ("uniform", "popularity")
both_kinds = pytest.mark.parametrize("kind", KINDS)


def interactions(pairs: list[tuple[int, int]], num_users: int, num_items: int) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1], num_users, num_items)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def histories(train: Interactions) -> list[set[int]]:
    result: list[set[int]] = [set() for _ in range(train.num_users)]
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        result[user].add(item)
    return result


@st.composite
def small_data(draw: st.DrawFn) -> Interactions:
    """Random pairs, repeated ones included; no user has everything that anybody has."""
    num_users, num_items = draw(st.integers(1, 5)), draw(st.integers(2, 7))
    pair = st.tuples(st.integers(0, num_users - 1), st.integers(0, num_items - 1))
    pairs = draw(st.lists(pair, min_size=1, max_size=20))
    # A user of his own for every item keeps something left to draw for each of the others.
    own = [(num_users + item, item) for item in range(num_items)]
    taken = {user: {item for other, item in pairs if other == user} for user, _ in pairs}
    kept = [(user, item) for user, item in pairs if len(taken[user]) < num_items]
    return interactions(kept + own, num_users + num_items, num_items)


@settings(max_examples=40, deadline=None)
@given(train=small_data(), kind=st.sampled_from(KINDS), seed=st.integers(0, 5))
def test_a_negative_is_never_a_training_item_of_its_user(
    train: Interactions, kind: str, seed: int
) -> None:
    users = torch.arange(train.num_users).repeat(3)
    drawn = NegativeSampler(train, kind, CPU).sample(users, 20, generator(seed))
    assert drawn.shape == (len(users), 20)
    assert drawn.dtype == torch.int64
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < train.num_items
    taken = histories(train)
    for user, row in zip(users.tolist(), drawn.tolist(), strict=True):
        assert not taken[user] & set(row)


@settings(max_examples=40, deadline=None)
@given(train=small_data())
def test_uniform_maps_equal_shares_of_the_unit_interval_to_each_free_item(
    train: Interactions,
) -> None:
    """Exhaustive: one random number in the middle of each share gives each free item once."""
    sampler = NegativeSampler(train, "uniform", CPU)
    for user, taken in enumerate(histories(train)):
        free = [item for item in range(train.num_items) if item not in taken]
        shares = (torch.arange(len(free), dtype=torch.float64) + 0.5) / len(free)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, values=shares, **__: values.unsqueeze(0))
            drawn = sampler.sample(torch.tensor([user]), len(free), generator())
        assert drawn[0].tolist() == free


@both_kinds
def test_frequencies_follow_the_distribution(kind: str) -> None:
    """Chi-square over 40,000 draws a user; the bound is passed by chance once in 10,000."""
    rng = np.random.default_rng(0)
    taken = rng.random((4, 9)) < np.linspace(0.2, 0.7, 9)
    users, items = np.nonzero(taken)
    train = Interactions(users.astype(np.int32), items.astype(np.int32), 4, 9)
    assert (train.item_degrees > 0).sum() > train.user_degrees.max()
    sampler = NegativeSampler(train, kind, CPU)
    drawn = sampler.sample(torch.arange(4), 40_000, generator())
    for user in range(4):
        weights = np.ones(9) if kind == "uniform" else train.item_degrees.astype(float)
        weights = weights * ~taken[user]
        expected = 40_000 * weights / weights.sum()
        found = np.bincount(drawn[user].numpy(), minlength=9)
        possible = expected > 0
        assert not found[~possible].any()
        statistic = ((found - expected)[possible] ** 2 / expected[possible]).sum()
        assert statistic < chi2.ppf(0.9999, possible.sum() - 1)


@both_kinds
def test_a_user_with_one_item_left_always_gets_it(kind: str) -> None:
    pairs = [(0, item) for item in range(6) if item != 4] + [(1, 4), (1, 0)]
    sampler = NegativeSampler(interactions(pairs, 3, 6), kind, CPU)
    drawn = sampler.sample(torch.tensor([0, 1, 2]), 50, generator())
    assert set(drawn[0].tolist()) == {4}
    assert not {4, 0} & set(drawn[1].tolist())
    assert len(set(drawn[2].tolist())) > 3  # a user without history may get anything


@both_kinds
def test_a_user_who_has_taken_everything_is_refused_by_id(kind: str) -> None:
    pairs = [(0, 1), (2, 0), (2, 1), (2, 2)]
    with pytest.raises(DataError, match=r"user with internal id 2 has taken all 3 items"):
        NegativeSampler(interactions(pairs, 3, 3), kind, CPU)


def test_popularity_refuses_a_user_who_has_all_items_that_occur_and_names_the_user() -> None:
    """Item 3 has no training user: it is drawn by uniform, and never by popularity."""
    train = interactions([(0, 1), (2, 0), (2, 1), (2, 2)], 3, 4)
    drawn = NegativeSampler(train, "uniform", CPU).sample(torch.tensor([2]), 5, generator())
    assert set(drawn[0].tolist()) == {3}
    with pytest.raises(DataError, match=r"id 2 has taken all 3 .*'popularity'.*'uniform'"):
        NegativeSampler(train, "popularity", CPU)
    with pytest.raises(DataError, match=r"internal id 2"):
        NegativeSampler(train, "popularity", CPU)


def test_popularity_never_draws_an_item_without_training_users() -> None:
    train = interactions([(0, 1), (1, 3), (1, 5), (2, 1)], 3, 8)
    drawn = NegativeSampler(train, "popularity", CPU).sample(torch.arange(3), 500, generator())
    assert set(drawn[0].tolist()) == {3, 5}
    assert set(drawn[1].tolist()) == {1}
    assert set(drawn[2].tolist()) == {3, 5}


@both_kinds
def test_the_generator_alone_decides_the_draws(kind: str) -> None:
    train = checkerboard().interactions
    users = torch.arange(12).repeat(5)
    sampler = NegativeSampler(train, kind, CPU)
    torch.manual_seed(1)
    first = sampler.sample(users, 4, generator(7))
    torch.manual_seed(2)
    assert torch.equal(sampler.sample(users, 4, generator(7)), first)
    assert torch.equal(NegativeSampler(train, kind, CPU).sample(users, 4, generator(7)), first)
    assert not torch.equal(sampler.sample(users, 4, generator(8)), first)
    rng = generator(7)
    assert torch.equal(sampler.sample(users, 4, rng), first)
    assert not torch.equal(sampler.sample(users, 4, rng), first)


@pytest.mark.parametrize("batch_size", [1, 5, 72, 100])
def test_every_training_pair_comes_once_an_epoch(batch_size: int) -> None:
    train = checkerboard().interactions
    batches = list(shuffled_batches(train, batch_size, generator(), CPU))
    assert [len(users) for users, _ in batches[:-1]] == [min(batch_size, 72)] * (len(batches) - 1)
    seen = Counter(
        pair
        for users, items in batches
        for pair in zip(users.tolist(), items.tolist(), strict=True)
    )
    assert seen == Counter(zip(train.users.tolist(), train.items.tolist(), strict=True))


def test_the_order_is_random_and_a_function_of_the_generator() -> None:
    train = checkerboard().interactions

    def order(seed: int) -> list[list[int]]:
        (batch,) = shuffled_batches(train, 100, generator(seed), CPU)
        return torch.stack(batch).T.tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != np.stack([train.users, train.items]).T.tolist()


def uneven() -> Interactions:
    """Users with 1, 2, 6 and no items: a share of pairs is far from a share of users."""
    pairs = [(0, 8), (1, 0), (1, 8), *((2, item) for item in range(1, 7))]
    return interactions(pairs, 4, 9)


def drawn_pairs(train: Interactions, batch_size: int, seed: int) -> list[tuple[int, int]]:
    batches = user_batches(train, batch_size, generator(seed), CPU)
    return [
        pair
        for users, items in batches
        for pair in zip(users.tolist(), items.tolist(), strict=True)
    ]


def test_users_are_drawn_with_equal_probability_and_then_one_of_their_items() -> None:
    """Chi-square over 36,000 draws; the bound is passed by chance once in 10,000."""
    train = uneven()
    own = histories(train)
    expected = {
        (user, item): 36_000 / 3 / len(items) for user, items in enumerate(own) for item in items
    }
    found = Counter(pair for seed in range(4_000) for pair in drawn_pairs(train, 9, seed))
    assert found.keys() == expected.keys()
    statistic = sum((found[pair] - mean) ** 2 / mean for pair, mean in expected.items())
    assert statistic < chi2.ppf(0.9999, len(expected) - 1)


@pytest.mark.parametrize("batch_size", [1, 4, 9, 20])
def test_an_epoch_of_users_has_as_many_draws_as_there_are_pairs(batch_size: int) -> None:
    batches = list(user_batches(uneven(), batch_size, generator(), CPU))
    assert sum(len(users) for users, _ in batches) == 9
    assert all(len(users) == min(batch_size, 9) for users, _ in batches[:-1])
    assert all(users.dtype == items.dtype == torch.int64 for users, items in batches)


def test_the_draws_of_users_are_a_function_of_the_generator() -> None:
    train = uneven()
    assert drawn_pairs(train, 4, 1) == drawn_pairs(train, 9, 1)
    assert drawn_pairs(train, 4, 1) != drawn_pairs(train, 4, 2)
