"""Fuse by products of modalities: entries of one vector times the same entries of others."""

import torch
from torch import Tensor, nn

from graphrec.nn.fusion.base import Fusion
from graphrec.nn.init import matrices, parameter
from graphrec.nn.masking import mapped

RANK = 2
"""Rank R of the tensor of ``Bilinear``."""
MAPS = 4
"""Number H of feature maps in each layer of ``CompressedInteraction``."""


class Bilinear(Fusion):
    """x = sum over r = 1, 2 of (product over present m of 1 + W_mr x_m) - 1: a low-rank tensor.

    Products are entry by entry. Multiplied out, x holds each mapped modality and the products of
    all pairs, triples and so on; a missing modality is a factor of ones. Costs
    O(I M^2 D + I M D^2).

    Source: liu2018lowrank: a tensor of rank R over [x_1; 1], ..., [x_M; 1].

    Deviations: each appended 1 has weight 1, and the product of the ones alone is subtracted, so
    that an item without modalities gets zeros. The sum over r stands outside the product, as in
    the authors' code; inside, the R matrices of a modality would be one.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.weights = matrices(num_modalities, (dim, RANK * dim), rng)

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse without adding the ones, so that none has to be subtracted."""
        product, *rest = mapped(tokens, self.weights).unbind(dim=1)
        for factor in rest:
            product = product + factor + product * factor
        return product.unflatten(1, (RANK, -1)).sum(dim=1)


class CompressedInteraction(Fusion):
    """x = sum_m v0_m x_m + sum_h v1_h X1_h + sum_h v2_h X2_h, the compressed interaction network.

    X1_h = sum_gm W1_hgm x_g * x_m and X2_h = sum_gm W2_hmg X1_g * x_m for h = 1..4, entry by
    entry: all products of up to three modalities. A missing modality is zero, and so are its
    products. The v start at one. Costs O(I M^3 D).

    Source: lian2018xdeepfm, Eq. 6.

    Deviations: the feature maps are not summed over their entries before they are weighted; that
    sum, applied to x, is the paper's output with its linear term. Every map enters the next layer,
    as in the paper; the authors' code passes half of them on.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.first = parameter((MAPS, num_modalities * num_modalities), rng)
        self.second = parameter((MAPS, num_modalities * MAPS), rng)
        self.outputs = nn.ParameterList(
            nn.Parameter(torch.ones(width)) for width in (num_modalities, MAPS, MAPS)
        )

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse by the expanded form, in which no X1 or X2 is made.

        x = sum_m x_m * (v0_m + sum_{n >= m} x_n * (b_mn + sum_k C_mnk x_k)): the factors of all
        pairs are one product of matrices.
        """
        blocks = tokens.transpose(0, 1)
        vectors = blocks.unbind()
        factors = torch.addmm(*self._coefficients(len(vectors)), blocks.flatten(1))
        rest = iter(factors.unflatten(1, vectors[0].shape).unbind())
        fused = torch.zeros_like(vectors[0])
        for m, (x, inner) in enumerate(zip(vectors, self.outputs[0], strict=True)):
            for y in vectors[m:]:
                inner = torch.addcmul(inner, y, next(rest))
            fused = torch.addcmul(fused, x, inner)
        return fused

    def _coefficients(self, count: int) -> tuple[Tensor, Tensor]:
        """Return b, ``[P, 1]``, and C, ``[P, M]``, for the P pairs m <= n in the order of rows."""
        weights = self.first.unflatten(1, (count, count))
        m, n = torch.triu_indices(count, count, device=weights.device)
        maps = weights[:, m, n] + weights[:, n, m] * (m != n)  # X1 = maps @ products, [H, P]
        last = (self.outputs[2] @ self.second).unflatten(0, (count, MAPS))
        return (self.outputs[1] @ maps).unsqueeze(1), (last @ maps).T
