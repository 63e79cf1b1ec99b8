"""Models that read the weights of interactions: dense oracles, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Interactions
from graphrec.models import MODELS, Batch, Inputs
from graphrec.models.ease import EASE, EASEConfig
from graphrec.models.itemknn import ItemKNN, ItemKNNConfig
from graphrec.models.mf import MF, MFConfig
from tests.models.cases import random_interactions

READERS = [name for name, model in MODELS.items() if "use_weights" in model.Config.model_fields]


def weighted(num_users: int, num_items: int, seed: int) -> Interactions:
    """Random pairs in random order, with weights from 0.5 to 5."""
    pairs = random_interactions(num_users, num_items, share=0.4, seed=seed)
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 5, len(pairs)).astype(np.float32)
    return replace(pairs, weights=weights).select(rng.permutation(len(pairs)))


def dense(train: Interactions) -> np.ndarray:
    assert train.weights is not None
    x = np.zeros((train.num_users, train.num_items))
    for user, item, weight in zip(train.users, train.items, train.weights, strict=True):
        x[user, item] = weight
    return x


def test_the_readers_are_those_that_the_log_and_the_guide_name() -> None:
    assert set(READERS) == {"ease", "itemknn", "mf"}


@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_ease_equals_the_explicit_inverse_of_weighted_histories(shape: tuple[int, int]) -> None:
    train = weighted(*shape, seed=2)
    model = EASE(
        EASEConfig(name="ease", reg=2.5, use_weights=True), Inputs(train, torch.Generator())
    )
    model.fit_exact()
    x = dense(train)
    p = np.linalg.inv(x.T @ x + 2.5 * np.eye(train.num_items))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    np.testing.assert_allclose(model.score(torch.arange(shape[0])).numpy(), x @ b, atol=1e-4)


@pytest.mark.parametrize("neighbours", [2, 400])
def test_itemknn_equals_the_double_loop_over_weights(neighbours: int) -> None:
    train = weighted(15, 12, seed=3)
    config = ItemKNNConfig(name="itemknn", knn_k=neighbours, shrink=1.5, use_weights=True)
    model = ItemKNN(config, Inputs(train, torch.Generator()))
    model.fit_exact()
    x = dense(train)
    wanted = np.zeros_like(x)
    for i in range(train.num_items):
        similar = []
        for j in range(train.num_items):
            dot = sum(x[user, i] * x[user, j] for user in range(train.num_users))
            if i != j and dot:
                lengths = math.sqrt((x[:, i] ** 2).sum()) * math.sqrt((x[:, j] ** 2).sum())
                similar.append((-dot / (lengths + 1.5), j))
        for negated, j in sorted(similar)[:neighbours]:
            wanted[:, i] -= negated * x[:, j]
    np.testing.assert_allclose(model.score(torch.arange(15)).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("loss", ["bpr", "softmax", "bce"])
def test_the_loss_of_mf_is_weighted_pair_by_pair(loss: str) -> None:
    train = weighted(15, 12, seed=4)
    table = {"name": "mf", "loss": loss, "temperature": 0.5, "reg": 0.0, "use_weights": True}
    model = MF(MFConfig.model_validate(table), Inputs(train, torch.Generator().manual_seed(1)))
    chosen = np.random.default_rng(5).permutation(len(train))[:9]
    assert train.weights is not None
    users, items = train.users[chosen], train.items[chosen]
    negatives = np.random.default_rng(6).integers(0, 12, (9, 3))
    p, q = (table.detach().double().numpy() for table in model.embed())
    total = 0.0
    for row in range(9):
        weight = train.weights[chosen[row]] / train.weights.mean()
        pos = p[users[row]] @ q[items[row]] / 0.5
        neg = [p[users[row]] @ q[item] / 0.5 for item in negatives[row]]
        own = {
            "bpr": np.mean([np.log1p(np.exp(each - pos)) for each in neg]),
            "softmax": -np.log(np.exp(pos) / (np.exp(pos) + np.exp(neg).sum())),
            "bce": np.log1p(np.exp(-pos)) + np.mean(np.log1p(np.exp(neg))),
        }
        total += weight * own[loss]
    batch = Batch(*(torch.from_numpy(each).long() for each in (users, items, negatives)))
    assert model.loss(batch)[loss].item() == pytest.approx(total / 9, rel=1e-5)


@pytest.mark.parametrize("name", READERS)
def test_weights_that_are_all_equal_rank_like_none(name: str) -> None:
    train = weighted(15, 12, seed=7)
    ones = replace(train, weights=np.ones(len(train), dtype=np.float32))
    scores = []
    for use, data in ((False, ones), (True, ones), (False, train), (True, train)):
        config = MODELS[name].Config.model_validate({"name": name, "use_weights": use})
        model = MODELS[name](config, Inputs(data, torch.Generator().manual_seed(1)))
        model.fit_exact()
        if name == "mf":
            users, items = (torch.from_numpy(each[:9]).long() for each in (data.users, data.items))
            batch = Batch(users, items, torch.zeros(9, 1, dtype=torch.int64))
            scores.append(model.loss(batch)["bpr"].detach())
        else:
            scores.append(model.score(torch.arange(15)))
    torch.testing.assert_close(scores[0], scores[1])
    assert torch.equal(scores[0], scores[2])
    assert not torch.allclose(scores[2], scores[3])


@pytest.mark.parametrize("name", READERS)
def test_weights_that_are_absent_or_not_above_zero_are_refused(name: str) -> None:
    train = weighted(15, 12, seed=8)
    config = MODELS[name].Config.model_validate({"name": name, "use_weights": True})
    with pytest.raises(ConfigError, match=r"model\.use_weights.*data\.weight"):
        MODELS[name](config, Inputs(replace(train, weights=None), torch.Generator()))
    assert train.weights is not None
    low = train.weights.copy()
    low[3] = 0
    with pytest.raises(DataError, match=r"weights above 0, but 1 of .*min_weight"):
        MODELS[name](config, Inputs(replace(train, weights=low), torch.Generator()))


def test_blocks_of_items_change_nothing_with_small_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights below 1 must not make blocks larger than memory allows: they count pairs."""
    train = weighted(30, 25, seed=9)
    assert train.weights is not None
    train = replace(train, weights=train.weights / 1000)
    found = []
    for entries in (20_000_000, 40):
        monkeypatch.setattr("graphrec.models.itemknn.ENTRIES_PER_BLOCK", entries)
        config = ItemKNNConfig(name="itemknn", use_weights=True)
        model = ItemKNN(config, Inputs(train, torch.Generator()))
        model.fit_exact()
        found.append(model.similarity)
    assert (found[0] != found[1]).nnz == 0
