"""Graph attention against messages one by one, against PyG, and at its limits."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import GATConv

from graphrec.graphs import bipartite_graph
from graphrec.nn.gat import Edges, GATLayers
from tests.graphs.dense import gat, normalised_adjacency
from tests.models.cases import interactions_of, random_interactions

TRAIN = random_interactions(7, 9, share=0.4, seed=2)
NUM_NODES = 16


def layers_of(num_layers: int, num_heads: int, dim: int = 4) -> GATLayers:
    rng = torch.Generator().manual_seed(3)
    return GATLayers(dim, num_layers, num_heads, rng).double()


def vectors(seed: int = 4, dim: int = 4) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(NUM_NODES, dim, generator=rng, dtype=torch.float64)


def adjacency() -> Tensor:
    return torch.from_numpy(normalised_adjacency(TRAIN)) > 0


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_layers_equal_the_messages_of_the_paper(num_layers: int, num_heads: int) -> None:
    layers, x = layers_of(num_layers, num_heads), vectors()
    state = {name: value.numpy() for name, value in layers.state_dict().items()}
    expected = gat(normalised_adjacency(TRAIN), x.numpy(), state, num_layers)
    result = layers(bipartite_graph(TRAIN).double(), x).detach().numpy()
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_a_layer_equals_that_of_pyg(num_heads: int) -> None:
    layers, x = layers_of(1, num_heads), vectors()
    graph = bipartite_graph(TRAIN)
    peer = GATConv(4, 4 // num_heads, num_heads, negative_slope=0.2, bias=False).double()
    with torch.no_grad():
        peer.lin.weight.copy_(layers.transforms[0].weight)
        peer.att_dst.copy_(layers.targets[0].unsqueeze(0))
        peer.att_src.copy_(layers.sources[0].unsqueeze(0))
    edges = Edges(graph)
    expected = (x + functional.elu(peer(x, torch.stack([edges.sources, edges.targets])))) / 2
    torch.testing.assert_close(layers(graph, x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_heads", [1, 2])
def test_gradients_equal_those_of_a_dense_softmax(num_heads: int) -> None:
    layers, x, weight = layers_of(2, num_heads), vectors().requires_grad_(), vectors(5)
    (layers(bipartite_graph(TRAIN), x) * weight).sum().backward()
    same = vectors().requires_grad_()
    mask = adjacency() | torch.eye(NUM_NODES, dtype=torch.bool)
    total = layer = same
    for number, transform in enumerate(layers.transforms):
        z = transform(layer).unflatten(1, (num_heads, -1))
        to, of = ((z * part[number]).sum(2) for part in (layers.targets, layers.sources))
        energy = functional.leaky_relu(to.unsqueeze(1) + of.unsqueeze(0), 0.2)
        alpha = energy.masked_fill(~mask.unsqueeze(2), -torch.inf).softmax(dim=1)
        layer = functional.elu(torch.einsum("vuh,uhd->vhd", alpha, z).flatten(1))
        total = total + layer
    wanted = torch.autograd.grad((total / 3 * weight).sum(), [same, *layers.parameters()])
    found = [x.grad, *(parameter.grad for parameter in layers.parameters())]
    for gradient, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_gradients_of_a_weighted_sum_pass_gradcheck() -> None:
    """In both arguments, and with a gradient that is one number spread out."""
    edges = Edges(bipartite_graph(TRAIN))
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(len(edges.sources), generator=rng, dtype=torch.float64)
    inputs = (weights.requires_grad_(), vectors().requires_grad_())
    assert torch.autograd.gradcheck(edges.weighted_sum, inputs)
    edges.weighted_sum(*inputs).sum().backward()
    expected = inputs[1].detach()[edges.sources].sum(dim=1)
    torch.testing.assert_close(weights.grad, expected)


def test_a_node_without_edges_attends_to_itself() -> None:
    layers, x = layers_of(1, 2), vectors()
    result = layers(bipartite_graph(TRAIN), x)
    expected = (x + functional.elu(layers.transforms[0](x))) / 2
    lonely = ~adjacency().any(dim=1)
    assert lonely[[6, 15]].all()
    assert torch.equal(torch.isclose(result, expected).all(dim=1), lonely)


def test_a_graph_without_any_edge_is_welcome() -> None:
    layers, x = layers_of(1, 1), vectors().requires_grad_()
    result = layers(bipartite_graph(interactions_of([], 7, 9)), x)
    torch.testing.assert_close(result, (x + functional.elu(layers.transforms[0](x))) / 2)
    result.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_energies_far_apart_overflow_nothing() -> None:
    layers, x = layers_of(1, 1), vectors() * 1e4
    x.requires_grad_()
    result = layers(bipartite_graph(TRAIN), x)
    result.sum().backward()
    assert result.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_mixed_precision_attends_in_single() -> None:
    layers, graph, x = layers_of(2, 2).float(), bipartite_graph(TRAIN), vectors().float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layers(graph, x)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, layers(graph, x), rtol=0, atol=0.05)


def test_the_generator_alone_decides_the_parameters() -> None:
    state = torch.random.get_rng_state()
    first, again = layers_of(2, 2), layers_of(2, 2)
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(list(first.parameters())) == 6
    for parameter, same in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, same)
