"""Softmax attention over the modalities of an item."""

import torch
from torch import Tensor, nn

from graphrec.fusion.base import Fusion, parameter


class Attention(Fusion):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of q . tanh(W x_m + b).

    Costs O(I M D^2); modalities never attend to other items.

    Source: bahdanau2015attention, Eq. 6, with items as single queries.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.transform = parameter((dim, dim), rng)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.query = parameter((dim, 1), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are alpha."""
        energy = (torch.tanh(tokens @ self.transform + self.bias) @ self.query).squeeze(-1)
        lowest = torch.finfo(energy.dtype).min  # finite, so that rows without any stay free of NaN
        alpha = torch.softmax(energy.masked_fill(~present, lowest), dim=1) * present
        return (alpha.unsqueeze(-1) * tokens).sum(dim=1), alpha
