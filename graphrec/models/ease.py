"""EASE: the linear item-item model with a closed-form solution."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import PositiveFloat
from scipy.linalg import lapack
from torch import Tensor

from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.core.ranges import SearchRange
from graphrec.models.base import Inputs, Model
from graphrec.models.config import ModelConfig

Matrix = npt.NDArray[np.float32]

BLOCK_ROWS = 1024
"""Rows that are worked on at once beside the matrix, where their bytes allow it."""

BLOCK_BYTES = 2**25
"""Bytes of such rows."""


class EASEConfig(ModelConfig):
    """Settings of EASE."""

    reg: PositiveFloat = 400.0
    """Ridge penalty lambda."""
    use_weights: bool = False
    """Let X hold the weights of the interactions (ratings, quantities) instead of ones."""


class EASE(Model):
    """s(u, .) = x_u B with B = I - P / diag(P), P = (X^T X + lambda I)^-1, so diag(B) = 0.

    Where users are fewer than items, the inverse is taken on the user side, K = X X^T + lambda I,
    because X P = K^-1 X and diag(P)_j = (1 - x_j^T K^-1 x_j) / lambda: the same scores from a
    smaller matrix, and B is never formed. X is binary, or holds the weights with ``use_weights``.

    Source: steck2019ease, Eq. 8.

    Deviations: computed in float32.

    The matrix is formed, factored, inverted and kept in one buffer, on the CPU whatever the
    device: the peak of memory is little more than 4 n^2 bytes with n = min(U, I).
    """

    family = "linear"
    reference = "steck2019ease"
    Config = EASEConfig
    search = {"model.reg": SearchRange(low=10.0, high=2000.0, log=True)}
    closed_form = True

    def __init__(self, config: EASEConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        train = inputs.train
        self.train_matrix = train.weighted_matrix if config.use_weights else train.matrix
        self.user_side = self.num_users < self.num_items
        self.weights: Matrix = np.empty((0, 0), dtype=np.float32)
        self.diagonal: Matrix = np.empty(0, dtype=np.float32)

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """The matrix ``[n, n]`` and the blocks beside it."""
        train = inputs.train
        size = min(train.num_users, train.num_items)
        side = "users" if train.num_users < train.num_items else "items"
        beside = min(BLOCK_BYTES, 4 * BLOCK_ROWS * train.num_items)
        yield Need(
            f"ease solves a dense matrix of {size:,} x {size:,} {side}, which",
            4 * size**2 + 6 * beside,
            "Use itemknn, which is sparse, in its place as model or baseline, or keep fewer "
            "of them with data.clean.",
        )

    def fit_exact(self) -> None:
        """Invert the smaller of the two Gram matrices.

        Raises:
            ConfigError: the matrix is not positive definite in float32.
        """
        interactions = self.train_matrix
        if self.user_side:
            inverse = self._inverse(interactions, interactions.T.tocsc())
            inner = np.zeros(self.num_items)  # x_j^T K^-1 x_j, in blocks of users
            for block in _blocks(self.num_users, self.num_items):
                projected = inverse[block] @ interactions
                inner += interactions[block].multiply(projected).sum(axis=0)
            self.diagonal = ((1 - inner) / self.config.reg).astype(np.float32)
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
        gram.flat[:: size + 1] += self.config.reg
        # LAPACK works by columns. The matrix is symmetric, so its rows serve as columns.
        _, failed = lapack.spotrf(gram.T, lower=1, clean=0, overwrite_a=1)
        if not failed:
            _, failed = lapack.spotri(gram.T, lower=1, overwrite_c=1)
        if failed:
            raise ConfigError(
                f"model.reg = {self.config.reg:g} is too small for the rounding of float32: the "
                f"matrix of EASE has no inverse. Raise it, for example to "
                f"{EASEConfig.model_fields['reg'].default:g}."
            )
        _mirror(gram)
        return gram

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Histories times B; a history is short, so a sparse product reads few rows of B."""

        def scores(users: Tensor) -> Tensor:
            chosen = users.cpu().numpy()
            histories = self.train_matrix[chosen]
            if self.user_side:
                projected = self.weights[chosen] @ self.train_matrix
                block = histories.toarray() - projected / self.diagonal
            else:
                block = histories @ self.weights
            return torch.from_numpy(block).to(users.device)

        return scores


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Cut ``count`` rows of ``width`` numbers."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * width)))
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


def _mirror(matrix: Matrix) -> None:
    """Copy what is above the diagonal of a square matrix below it, in place."""
    size = len(matrix)
    for block in _blocks(size, size):
        square = matrix[block, block]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[block.stop :, block] = matrix[block, block.stop :].T
