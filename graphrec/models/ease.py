"""EASE: the linear item-item model with a closed-form solution."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import PositiveFloat
from torch import Tensor

from graphrec.config import ModelConfig, SearchRange
from graphrec.models.base import Inputs, Model

USERS_PER_BLOCK = 1024
"""Rows of K^-1 X held at once."""


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

    Deviations: float32.
    """

    reference = "steck2019ease"
    Config = EASEConfig
    search = {"model.reg": SearchRange(low=10.0, high=2000.0, log=True)}
    closed_form = True
    weights: Tensor
    diagonal: Tensor

    def __init__(self, config: EASEConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        train = inputs.train
        self.train_matrix = train.weighted_matrix if config.use_weights else train.matrix
        self.user_side = self.num_users < self.num_items
        self.register_buffer("weights", torch.empty(0), persistent=False)
        self.register_buffer("diagonal", torch.empty(0), persistent=False)

    def fit_exact(self) -> None:
        """Invert the smaller of the two Gram matrices."""
        interactions = self.train_matrix
        if self.user_side:
            inverse = self._inverse(interactions @ interactions.T)
            inner = np.zeros(self.num_items)  # x_j^T K^-1 x_j, in blocks of users
            for start in range(0, self.num_users, USERS_PER_BLOCK):
                block = slice(start, start + USERS_PER_BLOCK)
                projected = inverse[block].cpu().numpy() @ interactions
                inner += interactions[block].multiply(projected).sum(axis=0)
            self.diagonal = torch.from_numpy((1 - inner) / self.config.reg).to(inverse)
            self.weights = inverse
        else:
            inverse = self._inverse(interactions.T @ interactions)
            self.weights = inverse.div_(-inverse.diagonal().clone())
            self.weights.fill_diagonal_(0.0)

    def _inverse(self, gram: sp.csr_array) -> Tensor:
        dense = torch.from_numpy(gram.toarray()).to(self.weights)
        dense.diagonal().add_(self.config.reg)
        factor = torch.linalg.cholesky(dense, out=dense)
        # LAPACK answers by columns. The matrix is symmetric: its transpose is the same by rows,
        # which spares the sparse product a copy of all of it for every block of users.
        inverse = torch.cholesky_inverse(factor)
        return inverse if inverse.is_contiguous() else inverse.mT

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Histories times B; a history is short, so a sparse product reads few rows of B."""
        weights = self.weights.cpu().numpy()
        diagonal = self.diagonal.cpu().numpy()

        def scores(users: Tensor) -> Tensor:
            chosen = users.cpu().numpy()
            histories = self.train_matrix[chosen]
            if self.user_side:
                projected = weights[chosen] @ self.train_matrix
                block = histories.toarray() - projected / diagonal
            else:
                block = histories @ weights
            return torch.from_numpy(block).to(users.device)

        return scores
