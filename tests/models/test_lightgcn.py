import numpy as np
import pytest

from graphrec.models import EmbeddingModel
from tests.graphs.dense import normalised_adjacency
from tests.models.cases import Case, World, batch_of, planted_world, random_features
from tests.models.cases import random_interactions as random_train


@pytest.fixture(scope="module")
def world() -> World:
    train = random_train(9, 12, share=0.3, seed=0)
    return World(train, train, train, random_features(12, seed=0))


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_embeddings_are_the_mean_of_matrix_powers(world: World, num_layers: int) -> None:
    model = Case("lightgcn", (("num_layers", num_layers),)).ready(world)
    assert isinstance(model, EmbeddingModel)
    start = model.get_parameter("nodes").detach().double().numpy()
    a_hat = normalised_adjacency(world.train)
    powers = [np.linalg.matrix_power(a_hat, layer) for layer in range(num_layers + 1)]
    expected = sum(powers) @ start / (num_layers + 1)
    users, items = (part.detach().numpy() for part in model.embed())
    np.testing.assert_allclose(np.concatenate([users, items]), expected, atol=1e-6)
    scores = model.score(world.users).detach().numpy()
    np.testing.assert_allclose(scores, expected[:9] @ expected[9:].T, atol=1e-6)


def test_regularisation_is_on_the_layer_zero_rows_of_the_batch() -> None:
    world = planted_world()
    model = Case("lightgcn", (("reg", 0.1),)).ready(world)
    batch = batch_of(world, num=2)
    nodes = model.get_parameter("nodes").detach().double().numpy()
    squares = 0.0
    for u, i, negatives in zip(*(part.tolist() for part in batch), strict=True):
        for node in (u, model.num_users + i, *(model.num_users + j for j in negatives)):
            squares += nodes[node] @ nodes[node]
    expected = 0.1 * squares / (2 * len(batch.users))
    assert model.loss(batch)["reg"].item() == pytest.approx(expected, rel=1e-5)
