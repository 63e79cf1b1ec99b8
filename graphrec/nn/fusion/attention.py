"""Fuse by softmax attention over the modalities of an item: x = sum_m alpha_m x_m."""

import torch
from torch import Tensor, nn

from graphrec.nn.fusion.base import WeightedSum
from graphrec.nn.init import parameter
from graphrec.nn.masking import mapped_alike, masked_softmax


class Attention(WeightedSum):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of q . tanh(W x_m + b).

    Costs O(I M D^2); modalities never attend to other items.

    Source: bahdanau2015attention, Eq. 6 and the energies of its Appendix A.1.2.
    Deviations: no decoder state is the query; a learned q is, the same for all items.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.transform = parameter((dim, dim), rng)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.query = parameter((dim, 1), rng)

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        hidden = torch.tanh(mapped_alike(tokens, self.transform) + self.bias)
        return masked_softmax(mapped_alike(hidden, self.query).squeeze(-1), present)


class SoftmaxAttention(WeightedSum):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of (W [x_1; ...; x_M] + b)_m.

    Unlike in ``attention``, the weight of a modality depends on all the others, too. A missing
    slot holds zeros. With two modalities, a vector learned for a missing slot would change nothing:
    the modality that is left has weight 1. Costs O(I M^2 D).

    Source: moon2018multimodal, the modality attention.
    Deviations: no sigmoid before the softmax.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.transform = parameter((num_modalities * dim, num_modalities), rng)
        self.bias = nn.Parameter(torch.zeros(num_modalities))

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return masked_softmax(tokens.flatten(1) @ self.transform + self.bias, present)
