"""Encode given lists of nearest items as values: spectral positions in the graph they form."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from pydantic import PositiveInt
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.rng import numpy_stream
from graphrec.data import Modality
from graphrec.features.config import FeatureConfig
from graphrec.features.tabular.neighbours import NeighbourEncoder, NeighbourFile

if TYPE_CHECKING:
    from graphrec.data.neighbours import Neighbours

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


class SpectralConfig(NeighbourFile):
    """Settings of an .npz file with the nearest items of each item, and of their values."""

    encoder: str = "spectral"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    dim: PositiveInt = 64
    """Number of values of each item: the eigenvectors that are kept."""
    edges: Literal["binary", "cosine"] = "cosine"
    """Weights of similar items: all 1, or the cosine, where negative ones count as 0."""


class SpectralEncoder:
    """Encoder of given nearest items: eigenvectors of the graph that they form.

    Items are joined where one lists the other, A_ij = max(w_ij, w_ji), without self-loops. With
    N = D^-1/2 A D^-1/2 and its ``dim`` largest eigenvalues l_1 >= l_2 >= ..., item i has the row

        y_i / |y_i|,  y_ij = sqrt(max(l_j, 0)) v_ij

    so that Y Y^T is the best approximation of N of its rank, before rows get length 1. An item that
    lists no item and is listed by none is missing.

    Each connected component of the graph has one eigenvalue l = 1, whose vector is known:
    sqrt(d_i / sum of d in the component), and 0 elsewhere. The others are found by Lanczos
    iterations from a fixed start. Their signs are chosen so that the largest entry is positive.
    Where further eigenvalues coincide, the vectors within their space may differ between machines.

    Source: ng2001spectral. Deviations: the graph is that of nearest items; columns are scaled.
    """

    Config: ClassVar[type[FeatureConfig]] = SpectralConfig

    def __init__(self, config: SpectralConfig) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Read the lists and compute the values ``[I, dim]``.

        Raises:
            ConfigError: ``dim`` is not below the number of items with neighbours, or is below the
                number of components of the graph.
            DataError: a file cannot be read, does not hold such lists of these items, or no item
                has a neighbour.
        """
        config = self.config
        given = NeighbourEncoder(config).encode(items, item_ids)
        adjacency = undirected(given.neighbours, config.edges)
        present = np.diff(adjacency.indptr) > 0
        if not present.any():
            raise DataError(
                f"{config.path}: {config.array}_nbr gives no item of this data set a neighbour of "
                f"positive cosine. Check that the file belongs to the data set."
            )
        values = np.zeros((len(item_ids), config.dim), np.float32)
        values[present] = spectral_rows(adjacency[present][:, present], config.dim)
        return Modality(values, present)


def undirected(neighbours: "Neighbours", edges: Literal["binary", "cosine"]) -> sp.csr_array:
    """Return the matrix A_ij = max(w_ij, w_ji) with w_ij = 1 or the cosine, if that is positive.

    Shapes:
        result: ``[I, I]``, symmetric; an entry for each pair of which one lists the other.
    """
    known = neighbours.items >= 0
    rows, _ = np.nonzero(known)
    weights = np.ones(len(rows))
    if edges == "cosine":
        weights = neighbours.cosines[known].clip(min=0).astype(np.float64)
    shape = (len(known), len(known))
    listed = sp.csr_array((weights, (rows, neighbours.items[known])), shape=shape)
    joined = listed.maximum(listed.T).tocsr()
    joined.eliminate_zeros()
    return joined


def spectral_rows(adjacency: sp.csr_array, dim: int) -> Matrix:
    """Return the unit rows of the scaled leading eigenvectors; see ``SpectralEncoder``.

    Shapes:
        adjacency: ``[n, n]``, symmetric, no empty row; result: ``[n, dim]``.

    Raises:
        ConfigError: ``dim`` is not below n, or is below the number of components of the graph.
    """
    values, vectors = leading_eigenvectors(adjacency, dim)
    rows = vectors * np.sqrt(values.clip(min=0))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def leading_eigenvectors(adjacency: sp.csr_array, dim: int) -> tuple[Vector, Matrix]:
    """Return the largest eigenvalues of D^-1/2 A D^-1/2, descending, and their vectors.

    Shapes:
        adjacency: as in ``spectral_rows``; result: ``[dim]`` and ``[n, dim]``.

    Raises:
        ConfigError: as in ``spectral_rows``.
    """
    size = adjacency.shape[0]
    if dim >= size:
        raise ConfigError(
            f"dim = {dim} needs more than {dim} items with neighbours, and there are {size}. "
            f"Lower dim."
        )
    num_parts, part = connected_components(adjacency, directed=False)
    if num_parts > dim:
        raise ConfigError(
            f"The graph of neighbours falls into {num_parts} parts, which dim = {dim} values "
            f"cannot tell apart. Set dim to {num_parts} or more."
        )
    degrees = adjacency.sum(axis=1)
    inverse = sp.diags_array(degrees**-0.5)
    normal = (inverse @ adjacency @ inverse).tocsr()
    root = np.sqrt(degrees / np.bincount(part, degrees)[part])
    known = np.zeros((size, num_parts))
    known[np.arange(size), part] = root
    if num_parts == dim:
        return np.ones(dim), known

    def without_known(x: Vector) -> Vector:
        """Return N x, with the eigenvalue 1 turned into -2, below all others."""
        x = x.ravel()
        result: Vector = normal @ x - 3 * root * np.bincount(part, root * x)[part]
        return result

    values, vectors = eigsh(
        LinearOperator((size, size), matvec=without_known, dtype=np.float64),
        k=dim - num_parts,
        which="LA",
        v0=numpy_stream(0, "spectral").standard_normal(size),
    )
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.concatenate([np.ones(num_parts), values]), np.concatenate([known, vectors], axis=1)
