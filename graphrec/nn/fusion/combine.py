"""Fuse without attention: by sum, mean, learned weights, gate or concatenation."""

import torch
from torch import Tensor, nn

from graphrec.nn.fusion.base import Fusion, WeightedSum
from graphrec.nn.init import matrices, parameter
from graphrec.nn.masking import equal_shares, mapped, masked_softmax


class Sum(WeightedSum):
    """x = sum of x_m over the present m."""

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return present.to(tokens.dtype)


class Mean(WeightedSum):
    """x = mean of x_m over the present m."""

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return equal_shares(present, tokens.dtype)


class Weighted(WeightedSum):
    """x = sum_m alpha_m x_m, alpha = softmax over the present m of one learned number a_m each.

    All a_m start at 0, so that x starts at the mean.

    Source: peters2018elmo, Eq. 1.
    Deviations: modalities in the place of layers; no scale gamma.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.logits = nn.Parameter(torch.zeros(num_modalities))

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return masked_softmax(self.logits.expand(len(present), -1), present)


class Gate(Fusion):
    """x = sum over the present m of sigmoid(W_m x_m + b_m) * x_m: a gate for each entry.

    The weight of a modality is the mean of its gate.

    Source: arevalo2017gmu, the gated multimodal unit.
    Deviations: the gate of a modality reads that modality alone, where the paper's gates read all;
    x_m enters as projected, without a tanh; for any number of modalities, gates do not sum to 1.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, dim), rng)
        self.bias = nn.Parameter(torch.zeros(num_modalities, dim))

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        return (self._gates(tokens) * tokens).sum(dim=1)

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return self._gates(tokens).mean(dim=-1) * present

    def _gates(self, tokens: Tensor) -> Tensor:
        return torch.sigmoid(mapped(tokens, self.weights) + self.bias)


class Concat(Fusion):
    """x = sum over m of W_m x_m, which is W [x_1; ...; x_M]; a missing slot holds a learned vector.

    A learned vector can say "missing", where zeros would say "average". Its block of W is folded
    into it. The weights of an item are equal for its present modalities.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, dim), rng)
        self.missing = parameter((num_modalities, dim), rng)

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        blocks = mapped(tokens, self.weights)
        filled = torch.where(present.unsqueeze(-1), blocks, self.missing)
        has_content = present.any(dim=1, keepdim=True)
        return filled.sum(dim=1) * has_content

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return equal_shares(present, tokens.dtype)
