"""Fusions without attention: sum, gate and concatenation."""

import torch
from torch import Tensor, nn

from graphrec.fusion.base import Fusion, parameter


class Sum(Fusion):
    """x = sum of x_m over the present m."""

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are 1 where present."""
        weights = present.to(tokens.dtype)
        return (weights.unsqueeze(-1) * tokens).sum(dim=1), weights


class Gate(Fusion):
    """x = sum of sigmoid(W_m x_m + b_m) * x_m over the present m: each entry opens by itself.

    Source: arevalo2017gmu, Eq. 5, for any number of modalities.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = nn.ParameterList(parameter((dim, dim), rng) for _ in range(num_modalities))
        self.bias = nn.Parameter(torch.zeros(num_modalities, dim))

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are the mean openings."""
        gates = torch.sigmoid(
            torch.einsum("imd,mde->ime", tokens, torch.stack(list(self.weights))) + self.bias
        )
        gates = gates * present.unsqueeze(-1)
        return (gates * tokens).sum(dim=1), gates.mean(dim=-1)


class Concat(Fusion):
    """x = sum over m of W_m x_m, which is W [x_1; ...; x_M]; a missing slot holds a learned vector.

    A learned vector says "missing"; zeros would say "average". Its block of W is folded into it.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = nn.ParameterList(parameter((dim, dim), rng) for _ in range(num_modalities))
        self.missing = parameter((num_modalities, dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights share 1 equally among the present."""
        blocks = torch.einsum("imd,mde->ime", tokens, torch.stack(list(self.weights)))
        filled = torch.where(present.unsqueeze(-1), blocks, self.missing)
        anything = present.any(dim=1, keepdim=True)
        weights = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        return filled.sum(dim=1) * anything, weights.to(tokens.dtype)
