import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import ConfigError
from graphrec.data import Dataset, Interactions, Modality, split
from graphrec.data.config import SplitConfig
from graphrec.features import encode
from graphrec.features.config import FeatureConfig, Side
from graphrec.features.tabular.statistics import InteractionConfig, interaction_statistics
from graphrec.features.tabular.tfidf import TfidfConfig

SIDES = ("items", "users")


def random_train(weights: bool = True, times: bool = True) -> Interactions:
    """Eight users and seven items; the last of each has nothing, user 0 and item 0 one thing."""
    rng = np.random.default_rng(3)
    taken = rng.random((8, 7)) < 0.5
    taken[-1], taken[:, -1], taken[0], taken[:, 0] = False, False, False, False
    taken[0, 1] = taken[1, 0] = True
    users, items = (each.astype(np.int32) for each in np.nonzero(taken))
    return Interactions(
        users, items, 8, 7,
        times=rng.integers(1_600_000_000, 1_700_000_000, len(users)) if times else None,
        weights=rng.integers(1, 6, len(users)).astype(np.float32) if weights else None,
    )  # fmt: skip


def literal(train: Interactions, side: Side) -> tuple[list[list[float]], list[bool]]:
    """The same, one node and one interaction at a time."""
    total = train.num_items if side == "items" else train.num_users
    raw: dict[int, list[float]] = {}
    for node in range(total):
        own = [e for e in range(len(train)) if getattr(train, side)[e] == node]
        if not own:
            continue
        raw[node] = [math.log(1 + len(own))]
        if train.weights is not None:
            ratings = [float(train.weights[e]) for e in own]
            mean = sum(ratings) / len(own)
            raw[node] += [mean, sum((rating - mean) ** 2 for rating in ratings) / len(own)]
        if train.times is not None:
            ages = [int(max(train.times)) - int(train.times[e]) for e in own]
            raw[node] += [min(ages), sum(ages) / len(own)]
    columns = list(zip(*raw.values(), strict=True))
    means = [sum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    rows = [
        [
            (raw[node][c] - means[c]) / deviations[c] if node in raw else 0.0
            for c in range(len(columns))
        ]
        for node in range(total)
    ]
    return rows, [node in raw for node in range(total)]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("weights", "times"), [(True, True), (True, False), (False, True)])
def test_statistics_follow_the_formula(side, weights, times):
    train = random_train(weights, times)
    found = interaction_statistics(train, side)
    rows, present = literal(train, side)
    np.testing.assert_allclose(found.values, rows, atol=1e-5)
    assert found.present.tolist() == present
    assert not all(present)
    assert found.values.dtype == np.float32


def test_counts_alone_are_one_column_and_in_order():
    found = interaction_statistics(random_train(weights=False, times=False), "items")
    assert found.values.shape == (7, 1)
    degrees = random_train().item_degrees
    order = np.argsort(degrees[:-1], kind="stable")
    assert all(found.values[a] <= found.values[b] for a, b in pairwise(order))


def test_equal_values_become_zeros_not_noise():
    pairs = np.arange(3, dtype=np.int32)
    weights, times = np.full(3, 0.1, dtype=np.float32), np.full(3, 5)
    train = Interactions(pairs, pairs, 4, 4, times=times, weights=weights)
    assert not interaction_statistics(train, "users").values.any()


def test_nobody_has_anything_without_interactions():
    none = np.zeros(0, dtype=np.int32)
    train = Interactions(none, none, 2, 3, times=none.astype(np.int64))
    assert not interaction_statistics(train, "items").present.any()


@pytest.mark.parametrize("side", SIDES)
def test_two_runs_give_the_same_bits_whatever_the_order_of_the_rows(side):
    train = random_train()
    again, turned = random_train(), train.select(np.arange(len(train))[::-1].copy())
    first = interaction_statistics(train, side)
    assert interaction_statistics(again, side).fingerprint == first.fingerprint
    np.testing.assert_allclose(interaction_statistics(turned, side).values, first.values, atol=1e-6)


# In a data set.


def dataset(poison: bool = False) -> Dataset:
    """A given split; with ``poison`` valid and test have other items, later times and weights."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(10), 6)
    items = np.concatenate([rng.permutation(12)[:6] for _ in range(10)])
    parts = np.tile(np.array([0, 0, 0, 0, 1, 2], dtype=np.int8), 10)
    times, weights = rng.integers(0, 1000, 60), rng.random(60).astype(np.float32)
    if poison:
        rest = parts > 0
        for user in range(10):
            own = set(items[(users == user) & ~rest].tolist())
            items[(users == user) & rest] = [i for i in range(12) if i not in own][:2]
        times[rest] += 10**6
        weights[rest] = 99
    pairs = Interactions(
        users.astype(np.int32), items.astype(np.int32), 10, 12, times=times, weights=weights
    )
    ids = [
        pl.Series([f"{letter}{n}" for n in range(size)]) for letter, size in (("u", 10), ("i", 12))
    ]
    return Dataset("shop", pairs, *ids, parts=parts)


def statistics(data: Dataset, side: Side) -> Modality:
    parts = split(data, SplitConfig(kind="given"))
    found = encode(data, {"stats": InteractionConfig()}, parts.train, side)["stats"]
    assert parts.test.openings == []
    return found


@pytest.mark.parametrize("side", SIDES)
def test_other_valid_and_test_parts_change_nothing(side):
    clean, poisoned = dataset(), dataset(poison=True)
    assert clean.fingerprint != poisoned.fingerprint
    assert statistics(clean, side).fingerprint == statistics(poisoned, side).fingerprint
    # the control: the poison would be seen
    whole = [interaction_statistics(data.interactions, side) for data in (clean, poisoned)]
    assert whole[0].fingerprint != whole[1].fingerprint


@pytest.mark.parametrize(("side", "table"), [("items", "features"), ("users", "user_features")])
def test_without_the_training_part_it_is_refused(side, table):
    with pytest.raises(ConfigError, match=rf"^\[{table}\.stats\] .*Split the data set first"):
        encode(dataset(), {"stats": InteractionConfig()}, side=side)


def test_an_encoder_of_items_cannot_describe_users():
    config = TfidfConfig(columns=("title",))
    with pytest.raises(
        ConfigError, match=r"^\[user_features\.text\] encoder = 'tfidf' describes it"
    ):
        encode(dataset(), {"text": config}, dataset().interactions, "users")


def test_an_unknown_encoder_of_users_is_refused():
    config = FeatureConfig(encoder="interaction")
    with pytest.raises(ConfigError, match=r"\[user_features\.x\] Unknown.*'interactions'"):
        encode(dataset(), {"x": config}, dataset().interactions, "users")
