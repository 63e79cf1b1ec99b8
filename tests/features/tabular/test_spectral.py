"""Values from lists of nearest items, against a dense decomposition."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from graphrec import ConfigError, DataError, build_config, encode, load, run
from graphrec.data.config import DataConfig
from graphrec.data.neighbours import Neighbours
from graphrec.features.tabular.spectral import (
    SpectralConfig,
    SpectralEncoder,
    leading_eigenvectors,
    spectral_rows,
    undirected,
)
from graphrec.graphs import nearest_items
from tests import flow


def random_lists(num_items: int, k: int, seed: int = 0) -> Neighbours:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num_items, 5)).astype(np.float32)
    return nearest_items(values, np.ones(num_items, dtype=np.bool_), k)


def two_rings(num_each: int) -> sp.csr_array:
    """Two circles, of which the second has heavier edges and one chord; nothing joins them."""
    matrix = np.zeros((2 * num_each, 2 * num_each))
    for item in range(num_each):
        after = (item + 1) % num_each
        matrix[item, after] = matrix[after, item] = 1 + 0.1 * item
        matrix[num_each + item, num_each + after] = 2 + 0.3 * item
        matrix[num_each + after, num_each + item] = 2 + 0.3 * item
    matrix[num_each, num_each + 2] = matrix[num_each + 2, num_each] = 1.0
    return sp.csr_array(matrix)


def dense(adjacency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All eigenvalues of D^-1/2 A D^-1/2, entry by entry, descending, with their vectors."""
    degrees = adjacency.sum(axis=1)
    normal = np.zeros_like(adjacency)
    for i in range(len(adjacency)):
        for j in range(len(adjacency)):
            normal[i, j] = adjacency[i, j] / np.sqrt(degrees[i] * degrees[j])
    values, vectors = np.linalg.eigh(normal)
    return values[::-1], vectors[:, ::-1]


@pytest.mark.parametrize("edges", ["binary", "cosine"])
def test_items_are_joined_where_one_lists_the_other(edges: str) -> None:
    lists = random_lists(12, 3)
    expected = np.zeros((12, 12))
    for item in range(12):
        for other, cosine in zip(lists.items[item], lists.cosines[item], strict=True):
            weight = 1.0 if edges == "binary" else max(cosine, 0.0)
            expected[item, other] = expected[other, item] = weight
    found = undirected(lists, edges).toarray()
    np.testing.assert_allclose(found, expected)
    assert (found.diagonal() == 0).all()


def test_a_negative_cosine_joins_nothing() -> None:
    lists = Neighbours(np.array([[1], [0], [0]], np.int32), np.array([[0.5], [0.5], [-0.2]]))
    assert undirected(lists, "cosine").toarray()[2].tolist() == [0, 0, 0]
    assert undirected(lists, "binary").toarray()[2].tolist() == [1, 0, 0]


@pytest.mark.parametrize("dim", [1, 4, 19])
def test_eigenvectors_are_those_of_a_dense_decomposition(dim: int) -> None:
    adjacency = undirected(random_lists(20, 4), "cosine")
    values, vectors = leading_eigenvectors(adjacency, dim)
    expected_values, expected = dense(adjacency.toarray())
    np.testing.assert_allclose(values, expected_values[:dim], atol=1e-10)
    for column in range(dim):
        wanted = expected[:, column]
        wanted = wanted if wanted[np.abs(wanted).argmax()] > 0 else -wanted
        np.testing.assert_allclose(vectors[:, column], wanted, atol=1e-7)


def test_rows_are_scaled_columns_of_length_one() -> None:
    adjacency = undirected(random_lists(20, 4), "binary")
    values, vectors = dense(adjacency.toarray())
    expected = np.zeros((20, 6))
    for item in range(20):
        row = [np.sqrt(max(values[j], 0.0)) * vectors[item, j] for j in range(6)]
        expected[item] = row / np.sqrt(sum(each * each for each in row))
    found = spectral_rows(adjacency, 6)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-8)


@pytest.mark.parametrize("dim", [2, 3, 7, 15])
def test_a_graph_of_several_parts_equals_the_dense_decomposition(dim: int) -> None:
    """From one start, Lanczos iterations may miss an eigenvalue that stands there twice."""
    adjacency = two_rings(8)
    values, vectors = leading_eigenvectors(adjacency, dim)
    expected_values, expected = dense(adjacency.toarray())
    np.testing.assert_allclose(values, expected_values[:dim], atol=1e-10)
    assert expected_values[1] == pytest.approx(1.0)
    projector = expected[:, :dim] @ expected[:, :dim].T
    np.testing.assert_allclose(vectors @ vectors.T, projector, atol=1e-8)
    normal = vectors.T @ vectors
    np.testing.assert_allclose(normal, np.eye(dim), atol=1e-10)
    rows = spectral_rows(adjacency, 2)
    np.testing.assert_allclose(rows @ rows.T, np.kron(np.eye(2), np.ones((8, 8))), atol=1e-12)


def test_two_calls_give_the_same_bits() -> None:
    adjacency = undirected(random_lists(200, 5), "cosine")
    assert np.array_equal(spectral_rows(adjacency, 16), spectral_rows(adjacency, 16))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Lists of 120 items in six groups; the last two items have no neighbours."""
    rng = np.random.default_rng(3)
    group = np.arange(120) % 6
    values = rng.normal(size=(6, 16))[group] + 0.5 * rng.normal(size=(120, 16))
    lists = nearest_items(values.astype(np.float32), np.arange(120) < 118, 5)
    np.savez(tmp_path / "knn.npz", image_nbr=lists.items, image_cos=lists.cosines)
    return tmp_path / "knn.npz"


def ids(count: int) -> pl.Series:
    return pl.Series(range(count)).cast(pl.String)


def test_near_items_have_a_larger_cosine_than_others(file: Path) -> None:
    found = SpectralEncoder(SpectralConfig(path=file, array="image", dim=16)).encode(None, ids(120))
    assert found.values.shape == (120, 16)
    assert found.values.dtype == np.float32
    assert found.present.tolist() == [True] * 118 + [False] * 2
    assert not found.values[118:].any()
    np.testing.assert_allclose(np.linalg.norm(found.values[:118], axis=1), 1.0, atol=1e-6)
    with np.load(file) as arrays:
        lists = arrays["image_nbr"][:118]
    cosines = (found.values @ found.values.T)[:118, :118]
    near = np.take_along_axis(cosines, lists, axis=1).mean()
    assert near > 0.8
    assert near > cosines.mean() + 0.5


def test_edges_and_dim_change_the_fingerprint(file: Path) -> None:
    settings = [{}, {"edges": "binary"}, {"dim": 15}]
    found = {
        SpectralEncoder(SpectralConfig(path=file, array="image", **{"dim": 16, **more}))
        .encode(None, ids(120))
        .fingerprint
        for more in settings
    }
    assert len(found) == 3


def test_dim_must_be_below_the_items_with_neighbours(file: Path) -> None:
    encoder = SpectralEncoder(SpectralConfig(path=file, array="image", dim=118))
    with pytest.raises(ConfigError, match=r"dim = 118 .* there are 118\. Lower dim"):
        encoder.encode(None, ids(120))


def test_a_graph_of_more_parts_than_dim_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"falls into 2 parts.*dim = 1 .*Set dim to 2 or more"):
        spectral_rows(two_rings(8), 1)


def test_lists_without_neighbours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "knn.npz"
    np.savez(path, image_nbr=np.full((9, 2), -1), image_cos=np.zeros((9, 2)))
    encoder = SpectralEncoder(SpectralConfig(path=path, array="image", dim=4))
    with pytest.raises(DataError, match=r"knn\.npz: image_nbr gives no item .* a neighbour"):
        encoder.encode(None, ids(9))


def test_a_problem_names_its_table(file: Path) -> None:
    pairs = file.with_name("pairs.csv")
    pairs.write_text("user,item\n" + "".join(f"u{item % 7},{item}\n" for item in range(120)))
    data = load(DataConfig(path=pairs))
    with pytest.raises(ConfigError, match=r"^\[features\.looks\] dim = 500 "):
        encode(data, {"looks": SpectralConfig(path=file, array="image", dim=500)})


def test_the_flagship_fuses_what_only_lists_tell(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.eye(3)[np.arange(18) % 3] + 0.3 * rng.normal(size=(18, 3))
    lists = nearest_items(values.astype(np.float32), np.ones(18, dtype=np.bool_), 4)
    np.savez(tmp_path / "knn.npz", image_nbr=lists.items, image_cos=lists.cosines)
    lines = "".join(f"i{item:02}\t{item}\n" for item in range(18))
    (tmp_path / "ids.tsv").write_text("id\trow\n" + lines)
    table = flow.table_of(flow.data())
    table["features"] |= {
        "image": {
            "encoder": "spectral",
            "path": str(tmp_path / "knn.npz"),
            "array": "image",
            "ids": str(tmp_path / "ids.tsv"),
            "dim": 6,
        }
    }
    result = run(build_config(table, ["model.use_id=false"]), tmp_path / "run")
    assert result.metrics["test"]["ndcg@5"] > 0
