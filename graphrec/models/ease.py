"""EASE: the linear item-item model with a closed-form solution."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from graphrec.config import ModelConfig
from graphrec.models.base import Inputs, Model


class EASEConfig(ModelConfig):
    """Settings of EASE."""

    reg: PositiveFloat = 400.0
    """Ridge penalty lambda."""


class EASE(Model):
    """s(u, .) = x_u B with B = I - P / diag(P), P = (X^T X + lambda I)^-1, so diag(B) = 0.

    Where users are fewer than items, the inverse is taken on the user side, K = X X^T + lambda I,
    because X P = K^-1 X and diag(P)_j = (1 - x_j^T K^-1 x_j) / lambda: the same scores from a
    smaller matrix, and B is never formed.

    Source: steck2019ease, Eq. 8.

    Deviations: float32.
    """

    reference = "steck2019ease"
    Config = EASEConfig
    closed_form = True
    weights: Tensor
    diagonal: Tensor

    def __init__(self, config: EASEConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        self.train_matrix = inputs.train.matrix
        self.user_side = self.num_users < self.num_items
        self.register_buffer("weights", torch.empty(0), persistent=False)
        self.register_buffer("diagonal", torch.empty(0), persistent=False)

    def fit_exact(self) -> None:
        """Invert the smaller of the two Gram matrices."""
        interactions = self.train_matrix
        if self.user_side:
            inverse = self._inverse(interactions @ interactions.T)
            projected = torch.from_numpy(interactions.T @ inverse.cpu().numpy())  # (K^-1 X)^T
            # x_j^T K^-1 x_j: the entries of column j of K^-1 X at the users of j, summed.
            inner = interactions.T.multiply(projected.numpy()).sum(axis=1)
            self.diagonal = ((1 - torch.from_numpy(inner)) / self.config.reg).to(inverse)
            self.weights = inverse
        else:
            inverse = self._inverse(interactions.T @ interactions)
            self.weights = inverse.div_(-inverse.diagonal().clone())
            self.weights.fill_diagonal_(0.0)

    def _inverse(self, gram: sp.csr_array) -> Tensor:
        dense = torch.from_numpy(gram.toarray()).to(self.weights)
        dense.diagonal().add_(self.config.reg)
        factor = torch.linalg.cholesky(dense, out=dense)
        return torch.cholesky_inverse(factor)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Histories times B: a sum of the rows of B that stand in each history."""

        def item_side(users: Tensor) -> Tensor:
            rows = self.train_matrix[users.cpu().numpy()]
            items, starts = (
                torch.from_numpy(part.astype(np.int64)).to(users.device)
                for part in (rows.indices, rows.indptr[:-1])
            )
            return functional.embedding_bag(items, self.weights, starts, mode="sum")

        def user_side(users: Tensor) -> Tensor:
            rows = self.weights[users].cpu().numpy()
            projected = torch.from_numpy(rows @ self.train_matrix).to(self.weights)
            histories = torch.from_numpy(self.train_matrix[users.cpu().numpy()].toarray())
            return histories.to(self.weights) - projected / self.diagonal

        return user_side if self.user_side else item_side
