"""Solve EASE, the linear item-item model with a closed form, and read scores and weights off it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.linalg import lapack
from torch import Tensor

from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.data.interactions import IntArray

Matrix = npt.NDArray[np.float32]

DEFAULT_REG = 400.0
"""Ridge penalty lambda where a configuration gives none."""

BLOCK_ROWS = 1024
"""Number of rows that are worked on at once beside the matrix, within ``BLOCK_BYTES``."""

BLOCK_BYTES = 2**25
"""Largest size of such rows in bytes."""


class EASESolver:
    """B = I - P / diag(P), P = (X^T X + lambda I)^-1, so diag(B) = 0; user u scores x_u B.

    With fewer users than items, the inverse is taken on the user side, K = X X^T + lambda I,
    because X P = K^-1 X and diag(P)_j = (1 - x_j^T K^-1 x_j) / lambda: the same scores from a
    smaller matrix, and B is never formed. For i != j, B_ji = x_j^T K^-1 x_i / (lambda diag(P)_i).

    The matrix is formed, factored, inverted and kept in one buffer, in float32 and always on the
    CPU: the peak of memory is little more than 4 n^2 bytes with n = min(U, I).

    Attributes:
        weights: B ``[I, I]``, or K^-1 ``[U, U]`` on the user side; empty until ``solve``.
        diagonal: diag(P) ``[I]`` on the user side.

    Source: steck2019ease, Eq. 8.

    Args:
        matrix: X, ``[U, I]``. reg: lambda. setting: the name of lambda, for the error.
    """

    def __init__(self, matrix: sp.csr_array, reg: float, setting: str = "model.reg") -> None:
        self.matrix, self.reg, self.setting = matrix, reg, setting
        self.num_users, self.num_items = matrix.shape
        self.user_side = self.num_users < self.num_items
        self.weights: Matrix = np.empty((0, 0), dtype=np.float32)
        self.diagonal: Matrix = np.empty(0, dtype=np.float32)

    @property
    def is_solved(self) -> bool:
        """Return whether there are weights."""
        return self.weights.size > 0

    def solve(self) -> None:
        """Invert the smaller of the two Gram matrices.

        Raises:
            ConfigError: the matrix is not positive definite in float32.
        """
        interactions = self.matrix
        if self.user_side:
            inverse = self._inverse(interactions, interactions.T.tocsc())
            inner = np.zeros(self.num_items)  # x_j^T K^-1 x_j, in blocks of users
            for block in _blocks(self.num_users, self.num_items):
                projected = inverse[block] @ interactions
                inner += interactions[block].multiply(projected).sum(axis=0)
            self.diagonal = ((1 - inner) / self.reg).astype(np.float32)
        else:
            inverse = self._inverse(interactions.T.tocsr(), interactions)
            inverse /= -inverse.diagonal()
            np.fill_diagonal(inverse, 0.0)
        self.weights = inverse

    def _inverse(self, left: sp.csr_array, right: sp.sparray) -> Matrix:
        """Return ``(left right + reg I)^-1`` of a product that is symmetric."""
        size = left.shape[0]
        gram = np.empty((size, size), dtype=np.float32)
        for block in _blocks(size, size):
            (left[block] @ right).toarray(out=gram[block])
        gram.flat[:: size + 1] += self.reg
        # LAPACK works by columns. The matrix is symmetric, so its rows serve as columns.
        _, failed = lapack.spotrf(gram.T, lower=1, clean=0, overwrite_a=1)
        if not failed:
            _, failed = lapack.spotri(gram.T, lower=1, overwrite_c=1)
        if failed:
            raise ConfigError(
                f"{self.setting} = {self.reg:g} is too small for the rounding of float32: the "
                f"matrix of EASE has no inverse. Raise it, for example to {DEFAULT_REG:g}."
            )
        _mirror(gram)
        return gram

    def scores(self, users: Tensor) -> Tensor:
        """Multiply the histories of users ``[B]`` by B; the scores ``[B, I]`` are float32.

        Histories are short, so a sparse product reads few rows of B.
        """
        chosen = users.cpu().numpy()
        histories = self.matrix[chosen]
        if self.user_side:
            projected = self.weights[chosen] @ self.matrix
            block = histories.toarray() - projected / self.diagonal
        else:
            block = histories @ self.weights
        return torch.from_numpy(block).to(users.device)

    def weights_of(self, own: IntArray, items: IntArray) -> Matrix:
        """Return B_ji of the items j that users have and items i.

        Args:
            own: ``[B, n]``; -1 where a user has no more, whose weights are 0.
            items: ``[B, K]``.

        Returns:
            ``[B, K, n]``.
        """
        if not self.user_side:
            found = self.weights[own[:, None], items[:, :, None]]
        else:
            found = np.zeros((*items.shape, own.shape[1]), np.float32)
            chosen, place = np.unique(items, return_inverse=True)
            place = place.reshape(items.shape)
            for block in _blocks(len(chosen), self.num_items):
                columns = self._columns(chosen[block])
                here = (place >= block.start) & (place < block.stop)
                listed = own[np.nonzero(here)[0]]
                found[here] = columns[place[here][:, None] - block.start, listed]
        found[np.broadcast_to(own[:, None] < 0, found.shape)] = 0
        return found

    def _columns(self, items: IntArray) -> Matrix:
        """Return the columns of B of some items as rows ``[k, I]``, on the user side."""
        projected = self.matrix[:, items].T @ self.weights
        columns: Matrix = (projected @ self.matrix) / (self.reg * self.diagonal[items])[:, None]
        columns[np.arange(len(items)), items] = 0
        return columns.astype(np.float32, copy=False)


def ease_need(num_users: int, num_items: int, subject: str, remedy: str) -> Need:
    """Return the memory of the matrix ``[n, n]`` and of the blocks beside it.

    Args:
        subject: who solves it, as the subject of the sentence. remedy: as in ``Need``.
    """
    size = min(num_users, num_items)
    side = "users" if num_users < num_items else "items"
    beside = min(BLOCK_BYTES, 4 * BLOCK_ROWS * num_items)
    return Need(
        f"{subject} solves a dense matrix of {size:,} x {size:,} {side}, which",
        4 * size**2 + 6 * beside,
        remedy,
    )


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Cut ``count`` rows of ``width`` numbers into blocks."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * width)))
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


def _mirror(matrix: Matrix) -> None:
    """Copy the entries above the diagonal of a square matrix below it, in place."""
    size = len(matrix)
    for block in _blocks(size, size):
        square = matrix[block, block]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[block.stop :, block] = matrix[block, block.stop :].T
