"""Rows of items with common users, by hand and against loops."""

import numpy as np
import pytest

from graphrec.data import Features, Interactions, Modality
from graphrec.features.missing import neighbours
from graphrec.features.missing.neighbours import by_neighbours
from tests.features.missing.worlds import Real, config, gap_of, world
from tests.models.cases import interactions_of

SETTINGS = config(strategy="neighbours")


def literal(features: Features, train: Interactions, name: str) -> dict[int, Real]:
    """Round by round, item by item, over the users of an item and their items."""
    users_of = {i: set(train.users[train.items == i]) for i in range(features.num_items)}
    has = np.flatnonzero(features[name].present)
    known = {int(i): features[name].values[i].astype(np.float64) for i in has}
    filled: dict[int, Real] = {}
    while True:
        found = {}
        for i in set(users_of) - set(known):
            common = {j: len(users_of[i] & users_of[j]) for j in known}
            if sum(common.values()):
                weighted = sum(count * known[j] for j, count in common.items())
                found[i] = weighted / sum(common.values())
        if not found:
            return filled
        known |= found
        filled |= found


@pytest.mark.parametrize("name", ["audio", "image", "text"])
@pytest.mark.parametrize("block", [2, 64])
def test_rows_follow_the_formula(monkeypatch, name, block):
    monkeypatch.setattr(neighbours, "BLOCK_COLUMNS", block)
    features, train = world()
    expected = literal(features, train, name)
    items, rows = by_neighbours(gap_of(features, train, name), SETTINGS)
    assert items.tolist() == sorted(expected)
    assert len(items) > 3
    np.testing.assert_allclose(rows, [expected[i] for i in items], atol=1e-6)


def test_a_path_is_filled_round_by_round_by_hand():
    """Items 0 - 1 - 2 - 3 share one user with the next, 0 and 1 a second one; 4 is alone."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 4)]
    train = interactions_of(pairs, 5, 6)
    values = np.array([[6], [99], [99], [0], [99], [99]], np.float32)
    present = np.array([True, False, False, True, False, False])
    features = Features({"x": Modality(values, present)}, 6)
    items, rows = by_neighbours(gap_of(features, train, "x"), SETTINGS)
    assert items.tolist() == [1, 2]
    # Round 1: item 1 hears of item 0, item 2 of item 3; they do not hear of each other.
    assert rows.ravel().tolist() == [6, 0]

    present[3] = False
    features = Features({"x": Modality(values, present)}, 6)
    items, rows = by_neighbours(gap_of(features, train, "x"), SETTINGS)
    assert items.tolist() == [1, 2, 3]
    assert rows.ravel().tolist() == [6, 6, 6]


def test_common_users_are_the_weights():
    pairs = [(0, 0), (0, 2), (1, 0), (1, 2), (2, 1), (2, 2), (3, 0)]
    train = interactions_of(pairs, 4, 3)
    modality = Modality(np.array([[3], [0], [7]], np.float32), np.array([True, True, False]))
    found = by_neighbours(gap_of(Features({"x": modality}, 3), train, "x"), SETTINGS)
    assert found.items.tolist() == [2]
    assert found.rows.tolist() == [[2.0]]
