"""Nearest items against a plain loop, and the operators they make against dense formulas."""

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.neighbours import Neighbours
from graphrec.graphs import (
    DirectedGraph,
    Rule,
    layer_mean,
    nearest_items,
    propagate,
    similarity_graph,
)
from tests.models.cases import DGL

backends = pytest.mark.parametrize("backend", ["torch", "pyg", DGL])
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]
ROOT = 0.5**0.5


def literal(values: Matrix, present: Mask, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """The k best of each item, pair by pair, in double precision."""
    norms = [float(np.linalg.norm(row.astype(np.float64))) for row in values]
    usable = [i for i in range(len(values)) if present[i] and norms[i] > 0]
    items, cosines = [], []
    for i in range(len(values)):
        pairs = []
        for j in usable if i in usable else []:
            if j != i:
                dot = float(values[i].astype(np.float64) @ values[j].astype(np.float64))
                pairs.append((-round(dot / norms[i] / norms[j] * 2**24), j))
        best = sorted(pairs)[:k]
        items.append([j for _, j in best] + [-1] * (k - len(best)))
        cosines.append([-cosine / 2**24 for cosine, _ in best] + [0.0] * (k - len(best)))
    return items, cosines


def dense_operator(neighbours: Neighbours, rule: Rule) -> npt.NDArray[np.float64]:
    """D^-1/2 S D^-1/2 or D^-1 S, entry by entry."""
    num_items = len(neighbours.items)
    weights = np.zeros((num_items, num_items))
    for i, (row, cosines) in enumerate(zip(neighbours.items, neighbours.cosines, strict=True)):
        for j, cosine in zip(row, cosines, strict=True):
            if j >= 0:
                weights[i, j] = 1 if rule.edges == "binary" else max(cosine, 0)
        if rule.self_loops and row[0] >= 0:
            weights[i, i] = 1
    degrees = weights.sum(axis=1)
    for i, j in np.argwhere(weights):
        both = degrees[i] * degrees[j]
        if rule.normalize == "row":
            weights[i, j] /= degrees[i]
        else:
            weights[i, j] = weights[i, j] / both**0.5 if both else 0
    return weights


def operator_of(graph: DirectedGraph) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = graph.product(torch.eye(graph.num_nodes)).double().numpy()
    return result


def some_neighbours(seed: int = 0, num_items: int = 14, k: int = 3) -> Neighbours:
    """Items 3 and 8 are missing."""
    rng = np.random.default_rng(seed)
    present = ~np.isin(np.arange(num_items), [3, 8])
    return nearest_items(rng.normal(size=(num_items, 4)).astype(np.float32), present, k)


# Nearest items.


def test_five_items_by_hand() -> None:
    """East, north-east twice as long, north, nothing, west; in a plane."""
    values = np.array([[1, 0], [2, 2], [0, 3], [0, 0], [-1, 0]], dtype=np.float32)
    result = nearest_items(values, np.ones(5, dtype=np.bool_), 2)
    assert result.items.tolist() == [[1, 2], [0, 2], [1, 0], [-1, -1], [2, 1]]
    expected = [[ROOT, 0], [ROOT, ROOT], [ROOT, 0], [0, 0], [0, -ROOT]]
    np.testing.assert_allclose(result.cosines, expected, atol=2**-24)
    assert (result.items.dtype, result.cosines.dtype) == (np.int32, np.float32)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), num_items=st.integers(1, 12), k=st.integers(1, 5))
def test_it_equals_a_loop_over_pairs_for_every_block_size(
    data: st.DataObject, num_items: int, k: int
) -> None:
    """Entries of -1, 0 and 1: many equal cosines, equal and opposite rows, rows of zeros."""
    numbers = st.lists(st.integers(-1, 1), min_size=3 * num_items, max_size=3 * num_items)
    values = np.array(data.draw(numbers), dtype=np.float32).reshape(num_items, 3)
    flags = st.lists(st.booleans(), min_size=num_items, max_size=num_items)
    present = np.array(data.draw(flags), dtype=np.bool_)
    items, cosines = literal(values, present, k)
    for block in (None, 1, 2, num_items):
        result = nearest_items(values, present, k, block=block)
        assert result.items.tolist() == items
        np.testing.assert_allclose(result.cosines, cosines, rtol=0, atol=1.5 * 2**-24)


def test_the_block_size_changes_no_bit() -> None:
    """Products of another shape round differently; here they are exact."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 50)).astype(np.float32)
    values[150:] = values[:150] * 3  # each row has a parallel twin
    present = rng.random(300) < 0.9
    first = nearest_items(values, present, 7, block=300)
    for block in (1, 7, 64, 299):
        again = nearest_items(values, present, 7, block=block)
        assert np.array_equal(again.items, first.items)
        assert np.array_equal(again.cosines, first.cosines)
    twins = present[:150] & present[150:]
    assert (first.items[:150, 0] == np.arange(150, 300))[twins].all()
    np.testing.assert_allclose(first.cosines[:150, 0][twins], 1, rtol=0, atol=2**-24)


def test_equal_items_are_listed_by_id() -> None:
    result = nearest_items(np.ones((5, 3), dtype=np.float32), np.ones(5, dtype=np.bool_), 3)
    assert result.items.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(result.cosines, 1, rtol=0, atol=2**-24)


def test_the_length_of_a_row_and_what_stands_in_missing_rows_mean_nothing() -> None:
    rng = np.random.default_rng(2)
    values, present = rng.normal(size=(20, 6)).astype(np.float32), rng.random(20) < 0.7
    first = nearest_items(values, present, 4)
    lengths = np.array([1e-30, 1, 2**20, 1e30] * 5, dtype=np.float32)
    other = values * lengths[:, None]
    other[~present] = np.nan
    again = nearest_items(other, present, 4)
    assert np.array_equal(again.items, first.items)
    np.testing.assert_allclose(again.cosines, first.cosines, rtol=0, atol=2**-23)
    assert not np.isin(first.items, np.flatnonzero(~present)).any()
    assert (first.items[~present] == -1).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_relabelling_the_items_relabels_the_neighbours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, order = rng.normal(size=(15, 5)).astype(np.float32), rng.permutation(15)
    everywhere = np.ones(15, dtype=np.bool_)
    first = nearest_items(values, everywhere, 4)
    moved = nearest_items(values[order], everywhere, 4)
    assert np.array_equal(order[moved.items], first.items[order])


@pytest.mark.parametrize(("k", "block"), [(0, None), (3, 0), (-1, 5)])
def test_counts_below_one_are_refused(k: int, block: int | None) -> None:
    with pytest.raises(ConfigError, match=f"k = {k} and block = {block}"):
        nearest_items(np.ones((4, 2), dtype=np.float32), np.ones(4, dtype=np.bool_), k, block=block)


def test_rows_that_cannot_be_compared_are_refused() -> None:
    values, present = np.ones((4, 2), dtype=np.float32), np.ones(4, dtype=np.bool_)
    with pytest.raises(DataError, match=r"\(4, 2\) and mask of shape \(3,\)"):
        nearest_items(values, present[:3], 2)
    values[2, 1] = np.inf
    with pytest.raises(DataError, match="row 2 holds NaN or infinity"):
        nearest_items(values, present, 2)


# Operators.

RULES = [
    Rule(edges=edges, normalize=normalize, self_loops=loops)
    for edges in ("binary", "cosine")
    for normalize in ("symmetric", "row")
    for loops in (False, True)
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_operator_equals_the_dense_formula(rule: Rule) -> None:
    neighbours = some_neighbours()
    result = operator_of(similarity_graph({"text": neighbours}, rule=rule))
    np.testing.assert_allclose(result, dense_operator(neighbours, rule), atol=1e-7)
    assert not result[[3, 8]].any()
    assert not result[:, [3, 8]].any()
    if rule.edges == "binary" or rule.self_loops:
        others = np.delete(result, [3, 8], axis=0)
        assert others.any(axis=1).all()
        if rule.normalize == "row":
            np.testing.assert_allclose(others.sum(axis=1), 1, atol=1e-6)


def test_the_matrix_is_directed() -> None:
    """0 and 1 are each other's nearest, 2 is nearest to 1, 3 has nothing."""
    items = np.array([[1], [0], [1], [-1]], dtype=np.int32)
    neighbours = Neighbours(items, np.array([[0.9], [0.9], [0.5], [0]], dtype=np.float32))
    rule = Rule(self_loops=False)
    expected = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    graph = similarity_graph({"text": neighbours}, rule=rule)
    np.testing.assert_array_equal(operator_of(graph), expected)
    np.testing.assert_array_equal(operator_of(similarity_graph({"text": neighbours}))[2], [
        0, 0.5, 0.5, 0,
    ])  # fmt: skip


def test_a_negative_cosine_weighs_nothing() -> None:
    """Counted as it is, it would turn messages round and could make a degree 0 or negative."""
    items = np.array([[1, 2], [2, 0], [0, 1]], dtype=np.int32)
    cosines = np.array([[0.75, -0.25], [-0.5, -0.75], [0.5, 0.25]], dtype=np.float32)
    rule = Rule(edges="cosine", normalize="row", self_loops=False)
    graph = similarity_graph({"text": Neighbours(items, cosines)}, rule=rule)
    expected = [[0, 1, 0], [0, 0, 0], [2 / 3, 1 / 3, 0]]
    np.testing.assert_allclose(operator_of(graph), expected, rtol=1e-6)


def test_modalities_are_mixed_over_those_that_an_item_has() -> None:
    """Shares 3 to 1; item 2 has no image, item 1 no text, item 3 neither."""
    image = Neighbours(np.array([[1], [0], [-1], [-1]], dtype=np.int32), np.ones((4, 1), "f4"))
    text = Neighbours(np.array([[2], [-1], [0], [-1]], dtype=np.int32), np.ones((4, 1), "f4"))
    graph = similarity_graph(
        {"image": image, "text": text}, {"image": 3, "text": 1}, rule=Rule(self_loops=False)
    )
    expected = [[0, 0.75, 0.25, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(operator_of(graph), expected)


def test_shares_have_no_unit_and_one_of_zero_leaves_a_modality_out() -> None:
    both = {"image": some_neighbours(1), "text": some_neighbours(2)}
    halves = operator_of(similarity_graph(both))
    doubled = operator_of(similarity_graph(both, {"image": 2.0, "text": 2.0}))
    np.testing.assert_array_equal(halves, doubled)
    only = similarity_graph(both, {"image": 0.0, "text": 5.0})
    alone = similarity_graph({"text": both["text"]})
    assert torch.equal(only.values, alone.values)
    assert torch.equal(only.indices, alone.indices)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"image": 1.0}, "no share for 'text'"),
        ({"image": 1.0, "text": 1.0, "txt": 1.0}, r"unknown 'txt'\. Did you mean 'text'"),
        ({"image": 1.0, "text": -0.5}, r"share of 'text' is -0\.5"),
        ({"image": float("nan"), "text": 1.0}, "share of 'image' is nan"),
        ({"image": 0.0, "text": 0.0}, "All shares are 0"),
    ],
)
def test_wrong_shares_are_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        similarity_graph({"image": some_neighbours(), "text": some_neighbours()}, shares)


def test_modalities_of_other_items_are_refused() -> None:
    short = some_neighbours(num_items=12)
    with pytest.raises(DataError, match="'image': 14, 'text': 12"):
        similarity_graph({"image": some_neighbours(), "text": short})
    with pytest.raises(ConfigError, match="at least one modality"):
        similarity_graph({})


# Messages and gradients.


def directed(backend: str = "auto", precision: torch.dtype = torch.float64) -> DirectedGraph:
    neighbours = {"image": some_neighbours(1), "text": some_neighbours(2)}
    rule = Rule(edges="cosine", self_loops=False)
    return similarity_graph(neighbours, rule=rule, backend=backend).to(precision)


def vectors(seed: int = 0, dim: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(14, dim, generator=rng, dtype=torch.float64)


def dense() -> Tensor:
    matrix = torch.from_numpy(operator_of(directed(precision=torch.float32)))
    assert (matrix - matrix.T).abs().max() > 0.1
    return matrix


@backends
def test_the_gradient_is_that_of_the_transpose(backend: str) -> None:
    graph, x, weight = directed(backend), vectors().requires_grad_(), vectors(1)
    result = propagate(graph, x)
    torch.testing.assert_close(result, dense() @ x, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((result * weight).sum(), x)
    torch.testing.assert_close(gradient, dense().T @ weight, rtol=0, atol=1e-6)


@backends
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_layer_mean_and_its_gradient_equal_the_dense_formula(backend: str, num_layers: int) -> None:
    graph, weight = directed(backend), vectors(1)
    x, same = vectors().requires_grad_(), vectors().requires_grad_()
    layers = [same]
    for _ in range(num_layers):
        layers.append(dense() @ layers[-1])
    result, expected = layer_mean(graph, x, num_layers), torch.stack(layers).mean(dim=0)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((result * weight).sum(), x)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), same)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-6)


@backends
def test_gradients_pass_gradcheck(backend: str) -> None:
    graph, x = directed(backend), vectors(dim=2).requires_grad_()
    for function in (lambda x: propagate(graph, x), lambda x: layer_mean(graph, x, 2)):
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)


@backends
def test_backends_agree_in_single_precision(backend: str) -> None:
    x, gradients = vectors().float(), []
    for name in ("torch", backend):
        own = x.clone().requires_grad_()
        layer_mean(directed(name, torch.float32), own, 2).square().sum().backward()
        gradients.append(own.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-5)


@backends
def test_a_copy_and_another_precision_keep_both_directions(backend: str) -> None:
    graph = directed(backend, torch.float32)
    propagate(graph, vectors().float())
    copied, x = copy.deepcopy(graph).double(), vectors().requires_grad_()
    propagate(copied, x).sum().backward()
    expected = dense().T @ torch.ones(14, 5, dtype=torch.float64)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-6)
    assert not graph.state_dict()
