"""Softmax attention over the modalities of an item: x = sum_m alpha_m x_m."""

import torch
from torch import Tensor, nn

from graphrec.fusion.base import (
    Fusion,
    masked_softmax,
    parameter,
    weighted_sum,
    without_missing,
)


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
        tokens = without_missing(tokens, present)
        energy = (torch.tanh(tokens @ self.transform + self.bias) @ self.query).squeeze(-1)
        alpha = masked_softmax(energy, present)
        return weighted_sum(alpha, tokens), alpha


class SoftmaxAttention(Fusion):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of (W [x_1; ...; x_M] + b)_m.

    Unlike in ``attention``, how much a modality counts depends on all the others too. A missing
    slot holds zeros. With two modalities a vector learned for it could not change anything: the
    modality that is left has weight 1. Costs O(I M^2 D).

    Source: moon2018multimodal, the modality attention, without the sigmoid before the softmax.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.transform = parameter((num_modalities * dim, num_modalities), rng)
        self.bias = nn.Parameter(torch.zeros(num_modalities))

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are alpha."""
        tokens = without_missing(tokens, present)
        alpha = masked_softmax(tokens.flatten(start_dim=1) @ self.transform + self.bias, present)
        return weighted_sum(alpha, tokens), alpha
