import numpy as np
import pytest
import torch

from graphrec.models import EmbeddingModel
from tests.models.cases import Case, World, batch_of, planted_world


@pytest.fixture
def world() -> World:
    return planted_world()


def test_scores_are_inner_products_of_the_two_tables(world: World) -> None:
    model = Case("mf").ready(world)
    users = model.get_parameter("users").detach().numpy()
    items = model.get_parameter("items").detach().numpy()
    expected = np.einsum("ud,id->ui", users, items)
    np.testing.assert_allclose(model.score(world.users).detach().numpy(), expected, atol=1e-6)


def test_normalize_ranks_by_cosine(world: World) -> None:
    model = Case("mf", (("normalize", True),)).ready(world)
    users = model.get_parameter("users").detach().numpy()
    items = model.get_parameter("items").detach().numpy()
    lengths = np.linalg.norm(users, axis=1)[:, None] * np.linalg.norm(items, axis=1)
    expected = users @ items.T / lengths
    np.testing.assert_allclose(model.score(world.users).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("num", [1, 4])
def test_loss_terms_written_out_pair_by_pair(world: World, num: int) -> None:
    model = Case("mf", (("reg", 0.03), ("temperature", 0.5))).ready(world)
    batch = batch_of(world, num)
    users = model.get_parameter("users").detach().double().numpy()
    items = model.get_parameter("items").detach().double().numpy()
    ranking, squares = 0.0, 0.0
    for u, i, negatives in zip(*(part.tolist() for part in batch), strict=True):
        squares += users[u] @ users[u] + items[i] @ items[i]
        for j in negatives:
            difference = (users[u] @ items[i] - users[u] @ items[j]) / 0.5
            ranking += np.log1p(np.exp(-difference)) / num
            squares += items[j] @ items[j]
    terms = model.loss(batch)
    assert terms["bpr"].item() == pytest.approx(ranking / len(batch.users), rel=1e-5)
    assert terms["reg"].item() == pytest.approx(0.03 * squares / 2 / len(batch.users), rel=1e-5)


def test_initial_tables_have_the_chosen_spread(world: World) -> None:
    model = Case("mf", (("init_std", 0.5), ("dim", 64))).ready(world)
    assert isinstance(model, EmbeddingModel)
    for table in model.parameters():
        assert table.std().item() == pytest.approx(0.5, rel=0.05)
        assert table.mean().abs().item() < 0.05
    assert torch.equal(model.embed()[0], model.get_parameter("users"))
