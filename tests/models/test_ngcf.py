import numpy as np
import pytest
import torch
from torch import nn

from graphrec.models import EmbeddingModel
from tests.graphs.dense import ngcf, normalised_adjacency
from tests.models.cases import Case, World, batch_of, random_features, random_interactions


@pytest.fixture(scope="module")
def world() -> World:
    train = random_interactions(7, 9, share=0.4, seed=1)
    return World(train, train, train, random_features(9, seed=0))


@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_embeddings_follow_the_messages_of_equation_7(world: World, num_layers: int) -> None:
    model = Case("ngcf", (("num_layers", num_layers),)).ready(world)
    assert isinstance(model, EmbeddingModel)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, generator=torch.Generator().manual_seed(5))
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    layers = {name.removeprefix("layers."): value for name, value in state.items()}
    expected = ngcf(normalised_adjacency(world.train), state["nodes"], layers, num_layers)
    users, items = (part.detach().numpy() for part in model.embed())
    assert users.shape == (7, 8 * (num_layers + 1))
    np.testing.assert_allclose(np.concatenate([users, items]), expected, atol=1e-5)


def test_dropout_acts_in_training_and_only_there(world: World) -> None:
    model = Case("ngcf", (("dropout", 0.5),)).ready(world)
    plain = Case("ngcf", (("dropout", 0.0),)).ready(world)
    assert torch.equal(model.score(world.users), plain.score(world.users))
    assert torch.equal(plain.train().score(world.users), plain.eval().score(world.users))
    assert not torch.equal(model.train().score(world.users), model.score(world.users))


def test_regularisation_is_on_the_layer_zero_rows_of_the_batch(world: World) -> None:
    model = Case("ngcf", (("reg", 0.1),)).ready(world)
    batch = batch_of(world, num=2)
    nodes = model.get_parameter("nodes").detach().double().numpy()
    squares = 0.0
    for u, i, negatives in zip(*(part.tolist() for part in batch), strict=True):
        for node in (u, 7 + i, *(7 + j for j in negatives)):
            squares += nodes[node] @ nodes[node]
    expected = 0.1 * squares / (2 * len(batch.users))
    assert model.loss(batch)["reg"].item() == pytest.approx(expected, rel=1e-5)


def test_a_penalty_on_the_final_rows_as_in_the_reference_code_has_the_same_gradient(
    world: World,
) -> None:
    """All layers but the first have length 1: their squares are a constant."""
    model = Case("ngcf", (("reg", 0.1), ("num_layers", 2))).ready(world)
    assert isinstance(model, EmbeddingModel)
    batch = batch_of(world, num=1)
    users, items = model.embed()
    rows = torch.cat([users[batch.users], items[batch.items.flatten()]])
    final = 0.1 * rows.square().sum() / (2 * len(batch.users))
    ours = model.loss(batch)["reg"]
    assert final.item() - ours.item() == pytest.approx(0.1 * 3 * 2 / 2, rel=1e-5)
    weights = list(model.parameters())
    theirs = torch.autograd.grad(final, weights)
    own = torch.autograd.grad(ours, weights, allow_unused=True)
    for found, expected in zip(theirs, own, strict=True):
        wanted = torch.zeros_like(found) if expected is None else expected
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)
