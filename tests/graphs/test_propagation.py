"""The sparse operator, its hand-written gradients and its backends against dense matrices."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.core import backends as backends_module
from graphrec.core.backends import choose_backend
from graphrec.core.errors import ConfigError
from graphrec.graphs import Graph, bipartite_graph, layer_mean, propagate
from tests.graphs.dense import normalised_adjacency
from tests.models.cases import DGL, interactions_of, random_interactions

backends = pytest.mark.parametrize("backend", ["torch", "pyg", DGL])
TRAIN = random_interactions(9, 12, share=0.3, seed=0)
NUM_NODES = 21


def graph_of(backend: str = "auto", precision: torch.dtype = torch.float64) -> Graph:
    """The last user and the last item have no edges."""
    return bipartite_graph(TRAIN, backend).to(precision)


def dense() -> Tensor:
    return torch.from_numpy(normalised_adjacency(TRAIN))


def vectors(seed: int = 0, dim: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(NUM_NODES, dim, generator=rng, dtype=torch.float64)


def dense_mean(x: Tensor, num_layers: int) -> Tensor:
    matrix, layers = dense(), [x]
    for _ in range(num_layers):
        layers.append(matrix @ layers[-1])
    return torch.stack(layers).mean(dim=0)


def test_normalisation_equals_the_dense_formula() -> None:
    graph = bipartite_graph(TRAIN)
    built = graph.product(torch.eye(NUM_NODES)).numpy()
    np.testing.assert_allclose(built, normalised_adjacency(TRAIN), atol=1e-7)
    assert graph.num_nodes == NUM_NODES
    assert graph.indptr.dtype == graph.indices.dtype == torch.int32


def test_a_pair_given_twice_is_one_edge() -> None:
    once = bipartite_graph(interactions_of([(0, 0), (1, 0)], 2, 2))
    twice = bipartite_graph(interactions_of([(0, 0), (1, 0), (0, 0)], 2, 2))
    assert torch.equal(once.scale, twice.scale)
    assert torch.equal(once.indices, twice.indices)


def test_auto_is_dgl_on_a_cpu_where_it_works_and_torch_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends_module, "_dgl_works", lambda: True)
    assert choose_backend("auto", torch.device("cpu")) == "dgl"
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    monkeypatch.setattr(backends_module, "_dgl_works", lambda: False)
    assert choose_backend("auto", torch.device("cpu")) == "torch"


def test_nodes_without_edges_send_and_get_nothing() -> None:
    graph, x = graph_of(), vectors()
    result = propagate(graph, x)
    assert not result[[8, 20]].any()
    moved = x.clone()
    moved[[8, 20]] = 7.0
    assert torch.equal(propagate(graph, moved), result)
    assert torch.equal(layer_mean(graph, x, 3)[[8, 20]], x[[8, 20]] / 4)


@backends
def test_one_layer_and_its_gradient_equal_the_dense_product(backend: str) -> None:
    graph, x, weight = graph_of(backend), vectors().requires_grad_(), vectors(1)
    result = propagate(graph, x)
    torch.testing.assert_close(result, dense() @ x, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((result * weight).sum(), x)
    torch.testing.assert_close(gradient, dense().T @ weight, rtol=0, atol=1e-6)


@backends
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_layer_mean_and_its_gradient_equal_the_dense_formula(backend: str, num_layers: int) -> None:
    graph, weight = graph_of(backend), vectors(1)
    x, same = vectors().requires_grad_(), vectors().requires_grad_()
    result, expected = layer_mean(graph, x, num_layers), dense_mean(same, num_layers)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((result * weight).sum(), x)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), same)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-6)


@backends
def test_gradients_pass_gradcheck(backend: str) -> None:
    graph, x = graph_of(backend), vectors(dim=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: propagate(graph, x), x)
    assert torch.autograd.gradgradcheck(lambda x: propagate(graph, x), x)
    assert torch.autograd.gradcheck(lambda x: layer_mean(graph, x, 2), x)
    assert torch.autograd.gradgradcheck(lambda x: layer_mean(graph, x, 2), x)


@backends
def test_a_gradient_that_is_one_number_spread_out_is_welcome(backend: str) -> None:
    """``sum()`` hands back an expanded tensor with stride 0."""
    graph, x = graph_of(backend), vectors().requires_grad_()
    layer_mean(graph, propagate(graph, x), 2).sum().backward()
    expected = dense() @ dense_mean(torch.ones(NUM_NODES, 5, dtype=torch.float64), 2)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-6)


@backends
def test_backends_agree_in_single_precision(backend: str) -> None:
    reference, graph = graph_of("torch", torch.float32), graph_of(backend, torch.float32)
    x = vectors().float()
    for result, expected in (
        (propagate(graph, x), propagate(reference, x)),
        (layer_mean(graph, x, 3), layer_mean(reference, x, 3)),
    ):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@backends
def test_the_input_is_left_as_it_was(backend: str) -> None:
    graph, x = graph_of(backend), vectors()
    layer_mean(graph, x, 0)
    layer_mean(graph, x, 2)
    propagate(graph, x)
    assert torch.equal(x, vectors())


@backends
def test_changing_the_precision_rebuilds_the_product(backend: str) -> None:
    """A product that was built once and kept would mix old and new precision, or devices."""
    graph, x = bipartite_graph(TRAIN, backend), vectors()
    first = propagate(graph, x.float())
    doubled = propagate(graph.double(), x)
    assert doubled.dtype == torch.float64
    torch.testing.assert_close(doubled, dense() @ x, rtol=0, atol=1e-6)
    assert torch.equal(propagate(graph.float(), x.float()), first)


@backends
def test_a_used_graph_can_be_copied(backend: str) -> None:
    """A sparse tensor cannot be copied, so a copy that kept its kernel would fail."""
    graph, x = graph_of(backend), vectors()
    expected = propagate(graph, x)
    assert torch.equal(propagate(copy.deepcopy(graph), x), expected)


def test_half_precision_vectors_are_summed_in_single() -> None:
    graph, x = graph_of(precision=torch.float32), vectors().bfloat16()
    assert propagate(graph, x).dtype == layer_mean(graph, x, 1).dtype == torch.float32


def test_the_operator_is_not_saved_with_a_model() -> None:
    assert not graph_of().state_dict()


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown backend 'torhc'\. Did you mean 'torch'"):
        bipartite_graph(TRAIN, "torhc")
