"""Fusions without attention: sum, mean, learned weights, gate and concatenation."""

import torch
from torch import Tensor, nn

from graphrec.fusion.base import (
    Fusion,
    equal_shares,
    mapped,
    masked_softmax,
    matrices,
    parameter,
    weighted_sum,
    without_missing,
)


class Sum(Fusion):
    """x = sum of x_m over the present m."""

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are 1 where present."""
        weights = present.to(tokens.dtype)
        return weighted_sum(weights, tokens), weights


class Mean(Fusion):
    """x = mean of x_m over the present m."""

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights share 1 equally among the present."""
        weights = equal_shares(present, tokens.dtype)
        return weighted_sum(weights, tokens), weights


class Weighted(Fusion):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of one learned number a_m each.

    Starts at the mean.

    Source: peters2018elmo, Eq. 1, with modalities in place of layers and without the scale.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.logits = nn.Parameter(torch.zeros(num_modalities))

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are alpha."""
        alpha = masked_softmax(self.logits.expand(len(present), -1), present)
        return weighted_sum(alpha, without_missing(tokens, present)), alpha


class Gate(Fusion):
    """x = sum of sigmoid(W_m x_m + b_m) * x_m over the present m: each entry opens by itself.

    Source: arevalo2017gmu, Eq. 5, for any number of modalities.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, dim), rng)
        self.bias = nn.Parameter(torch.zeros(num_modalities, dim))

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are the mean openings."""
        tokens = without_missing(tokens, present)
        gates = torch.sigmoid(mapped(tokens, self.weights) + self.bias) * present.unsqueeze(-1)
        return (gates * tokens).sum(dim=1), gates.mean(dim=-1)


class Concat(Fusion):
    """x = sum over m of W_m x_m, which is W [x_1; ...; x_M]; a missing slot holds a learned vector.

    A learned vector says "missing"; zeros would say "average". Its block of W is folded into it.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, dim), rng)
        self.missing = parameter((num_modalities, dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights share 1 equally among the present."""
        blocks = mapped(tokens, self.weights)
        filled = torch.where(present.unsqueeze(-1), blocks, self.missing)
        anything = present.any(dim=1, keepdim=True)
        return filled.sum(dim=1) * anything, equal_shares(present, tokens.dtype)
