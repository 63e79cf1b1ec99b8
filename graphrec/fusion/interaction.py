"""Products of modalities: entries of one vector times the same entries of others."""

import torch
from torch import Tensor, nn

from graphrec.fusion.base import (
    Fusion,
    mapped,
    matrices,
    parameter,
    weighted_sum,
    without_missing,
)

RANK = 2
"""Rank R of the tensor of ``Bilinear``."""
MAPS = 4
"""Feature maps H of each layer of ``CompressedInteraction``."""


class Bilinear(Fusion):
    """x = sum over r = 1, 2 of (product over present m of 1 + W_mr x_m) - 1: a low-rank tensor.

    Products go entry by entry. Multiplied out, x holds each mapped modality and the products of
    all pairs, triples and so on; a missing modality is a factor of ones. Costs
    O(I M^2 D + I M D^2).

    Source: liu2018lowrank: a tensor of rank R over [x_1; 1], ..., [x_M; 1].

    Deviations: each appended 1 has weight 1, and the product of these alone is subtracted, so
    that an item without modalities gets zeros. The sum over r stands outside of the product, as
    in the authors' code; inside, the R matrices of a modality would be one.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, RANK * dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are ``shares_of_change``, without a gradient."""
        factors = mapped(without_missing(tokens, present), self.weights)
        fused = self._multiply(factors)
        with torch.no_grad():
            others = [self._multiply(_left_out(factors, m)) for m in range(present.shape[1])]
            return fused, shares_of_change(fused, others, present)

    def _multiply(self, factors: Tensor) -> Tensor:
        """``[I, M, R D]`` to ``[I, D]``; the ones are never added, so that none is subtracted."""
        product, *rest = factors.unbind(dim=1)
        for factor in rest:
            product = product + factor + product * factor
        return product.unflatten(1, (RANK, -1)).sum(dim=1)


class CompressedInteraction(Fusion):
    """x = sum_m v0_m x_m + sum_h v1_h X1_h + sum_h v2_h X2_h, the compressed interaction network.

    X1_h = sum_gm W1_hgm x_g * x_m and X2_h = sum_gm W2_hmg X1_g * x_m for h = 1..4, entry by
    entry: all products of up to three modalities. A missing one is zero, and so are its products.
    The v start at one. Costs O(I M^2 D).

    Source: lian2018xdeepfm, Eq. 6.

    Deviations: the feature maps are not summed over their entries before they are weighted; that
    sum, taken of x, is the paper's output with its linear term.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.first = parameter((MAPS, num_modalities * num_modalities), rng)
        self.second = parameter((MAPS, num_modalities * MAPS), rng)
        self.outputs = nn.ParameterList(
            nn.Parameter(torch.ones(width)) for width in (num_modalities, MAPS, MAPS)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are ``shares_of_change``, without a gradient."""
        tokens = without_missing(tokens, present)
        pairs = (tokens.unsqueeze(2) * tokens.unsqueeze(1)).flatten(1, 2)  # [I, M M, D]
        maps = _combine(self.first, pairs)
        fused = self._output(tokens, maps)
        others = []
        with torch.no_grad():
            modalities = torch.arange(tokens.shape[1], device=tokens.device)
            for m in range(len(modalities)):
                of_m = ((modalities == m) | (modalities == m).unsqueeze(1)).flatten()
                rest = maps - _combine(self.first[:, of_m], pairs[:, of_m])
                others.append(self._output(_left_out(tokens, m), rest))
            return fused, shares_of_change(fused, others, present)

    def _output(self, tokens: Tensor, maps: Tensor) -> Tensor:
        """Make x of the tokens and X1, ``[I, H, D]``; X2 is weighted before it is multiplied."""
        last = (self.outputs[2] @ self.second).unflatten(0, (tokens.shape[1], MAPS))
        scales = _combine(last, maps) + self.outputs[0].unsqueeze(1)
        return weighted_sum(self.outputs[1], maps) + (scales * tokens).sum(dim=1)


def _combine(weights: Tensor, vectors: Tensor) -> Tensor:
    """``[K, n]`` and ``[I, n, D]`` to ``[I, K, D]``; several times faster on CPU than einsum."""
    return torch.bmm(weights.expand(len(vectors), -1, -1), vectors)


def shares_of_change(fused: Tensor, others: list[Tensor], present: Tensor) -> Tensor:
    """|x - x without m| / the sum of these over the present m: what leaving m out would change.

    Shapes:
        fused: ``[I, D]``; others: for each m, x without it, ``[I, D]``; present: ``[I, M]``.
    """
    changes = torch.stack([(fused - each).norm(dim=1) for each in others], dim=1) * present
    return changes / changes.sum(dim=1, keepdim=True).clamp(min=torch.finfo(changes.dtype).tiny)


def _left_out(tokens: Tensor, m: int) -> Tensor:
    """The tokens with zeros in place of modality ``m``."""
    modalities = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens.masked_fill((modalities == m).unsqueeze(1), 0.0)
