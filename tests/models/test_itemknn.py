import math

import numpy as np
import pytest
import torch

from graphrec.data import Interactions
from graphrec.models import Inputs
from graphrec.models import itemknn as module
from graphrec.models.itemknn import ItemKNN, ItemKNNConfig
from tests.models.cases import interactions_of, random_interactions


def solved(train: Interactions, neighbours: int, shrink: float) -> ItemKNN:
    config = ItemKNNConfig(name="itemknn", knn_k=neighbours, shrink=shrink)
    model = ItemKNN(config, Inputs(train, torch.Generator()))
    model.fit_exact()
    return model


def by_loops(train: Interactions, neighbours: int, shrink: float) -> np.ndarray:
    """Every pair of items, every neighbour list, every user: nothing but loops."""
    users_of: list[set[int]] = [set() for _ in range(train.num_items)]
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        users_of[item].add(user)
    scores = np.zeros((train.num_users, train.num_items))
    for i in range(train.num_items):
        similar = []
        for j in range(train.num_items):
            common = len(users_of[i] & users_of[j])
            if i != j and common:
                norms = math.sqrt(len(users_of[i])) * math.sqrt(len(users_of[j]))
                similar.append((-common / (norms + shrink), j))
        for negated, j in sorted(similar)[:neighbours]:
            for user in users_of[j]:
                scores[user, i] -= negated
    return scores


@pytest.mark.parametrize("shrink", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("neighbours", [1, 3, 400])
def test_scores_equal_the_double_loop(neighbours: int, shrink: float) -> None:
    for seed in range(3):
        train = random_interactions(15, 12, share=0.4, seed=seed)
        scores = solved(train, neighbours, shrink).score(torch.arange(15)).numpy()
        np.testing.assert_allclose(scores, by_loops(train, neighbours, shrink), atol=1e-6)


def test_equal_similarities_keep_the_lower_item_id() -> None:
    """Items 0, 1 and 2 are alike for item 3; with two neighbours kept, item 2 goes."""
    pairs = [(user, item) for user in range(2) for item in range(4)]
    train = interactions_of([*pairs, (2, 2), (3, 1), (4, 0)], num_users=5, num_items=4)
    scores = solved(train, neighbours=2, shrink=0.0).score(torch.arange(5))
    assert scores[4, 3] > 0  # has item 0
    assert scores[3, 3] > 0  # has item 1
    assert scores[2, 3] == 0  # has item 2


def test_neighbours_are_those_of_the_scored_item() -> None:
    """Item 0 is near to item 1, but item 1 has a nearer one: user 0 with item 0 gets no item 1."""
    pairs = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    train = interactions_of(pairs, num_users=4, num_items=3)
    scores = solved(train, neighbours=1, shrink=0.0).score(torch.tensor([0, 2]))
    assert scores[0].tolist() == [0.0, 0.0, 0.0]
    assert scores[1, 0].item() == pytest.approx(1 / math.sqrt(6))  # item 0 leans on item 1


def test_blocks_of_items_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = random_interactions(30, 25, share=0.3, seed=7)
    whole = solved(train, neighbours=4, shrink=2.0)
    for entries in (1, 50, 400):
        monkeypatch.setattr(module, "ENTRIES_PER_BLOCK", entries)
        blocked = solved(train, neighbours=4, shrink=2.0)
        assert (blocked.similarity != whole.similarity).nnz == 0
