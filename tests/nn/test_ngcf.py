import numpy as np
import pytest
import torch
from torch import nn

from graphrec.graphs import bipartite_graph
from graphrec.nn.ngcf import NGCFLayers
from tests.graphs.dense import ngcf, normalised_adjacency
from tests.models.cases import random_interactions

TRAIN = random_interactions(7, 9, share=0.4, seed=2)


def layers_of(num_layers: int, dropout: float = 0.0) -> NGCFLayers:
    rng = torch.Generator().manual_seed(3)
    layers = NGCFLayers(4, num_layers, dropout, rng)
    with torch.no_grad():
        for linear in (*layers.sums, *layers.products):
            nn.init.normal_(linear.bias, generator=rng)
    return layers.double()


def vectors() -> torch.Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_layers_equal_the_messages_of_the_paper(num_layers: int) -> None:
    layers, x = layers_of(num_layers), vectors()
    state = {name: value.numpy() for name, value in layers.state_dict().items()}
    expected = ngcf(normalised_adjacency(TRAIN), x.numpy(), state, num_layers)
    result = layers(bipartite_graph(TRAIN).double(), x).detach().numpy()
    assert result.shape == (16, 4 * (num_layers + 1))
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_gradients_equal_those_of_a_dense_product() -> None:
    layers, graph = layers_of(2), bipartite_graph(TRAIN).double()
    weight = torch.randn(16, 12, generator=torch.Generator().manual_seed(5)).double()
    x = vectors().requires_grad_()
    (layers(graph, x) * weight).sum().backward()
    found = [x.grad, *(parameter.grad for parameter in layers.parameters())]
    a_hat, same, outputs = torch.from_numpy(normalised_adjacency(TRAIN)), vectors(), []
    same.requires_grad_()
    layer = same
    for sums, products in zip(layers.sums, layers.products, strict=True):
        messages = a_hat @ layer
        mixed = sums(messages + layer) + products(messages * layer)
        layer = torch.where(mixed > 0, mixed, 0.2 * mixed)
        outputs.append(layer / layer.norm(dim=1, keepdim=True))
    total = (torch.cat([same, *outputs], dim=1) * weight).sum()
    wanted = torch.autograd.grad(total, [same, *layers.parameters()])
    for gradient, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    layers, graph, x = layers_of(1, dropout=0.5), bipartite_graph(TRAIN).double(), vectors()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = layers.train()(graph, x)[:, 4:]
    kept = layers.eval()(graph, x)[:, 4:]
    assert 0.2 < (dropped == 0).double().mean() < 0.8
    assert (kept != 0).all()
