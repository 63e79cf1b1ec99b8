"""Attention among the modality tokens of one item; never from item to item."""

import math

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


class DotProduct(nn.Module):
    """e[h, m, n] = (W_Q x_m)_h . (W_K x_n)_h / sqrt(D / H): how much m looks at n in head h.

    The heads H are the largest of 4, 2 and 1 that divides D.

    Source: vaswani2017attention, Eq. 1.
    """

    def __init__(self, dim: int, rng: torch.Generator) -> None:
        super().__init__()
        self.heads = next(heads for heads in (4, 2, 1) if dim % heads == 0)
        self.query = parameter((dim, dim), rng)
        self.key = parameter((dim, dim), rng)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[I, M, D]`` to ``[I, H, M, M]``."""
        queries, keys = self.split(tokens @ self.query), self.split(tokens @ self.key)
        return queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])

    def split(self, tokens: Tensor) -> Tensor:
        """``[I, M, D]`` to ``[I, H, M, D / H]``."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class SelfAttention(Fusion):
    """x = mean over present m of x_m + W_O sum_n a_mn W_V x_n, a_m = softmax over the present n.

    a_m is made from the energies of ``DotProduct``, and each head has its part of W_V. The mean
    over m is taken of a, before it weighs the values, which is the same and cheaper. Costs
    O(I M^2 D + I M D^2).

    Source: vaswani2017attention, Eq. 1 and section 3.2.2, with the residual of section 3.1.

    Deviations: no layer normalisation, which would undo the length of a token, and no
    feed-forward layer.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.energy = DotProduct(dim, rng)
        self.value = parameter((dim, dim), rng)
        self.output = parameter((dim, dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are the attention a modality receives, averaged over heads and m."""
        tokens = without_missing(tokens, present)
        shares = equal_shares(present, tokens.dtype)
        attention = masked_softmax(self.energy(tokens), present[:, None, None])
        received = torch.einsum("im,ihmn->ihn", shares, attention)
        heads = (received.unsqueeze(3) * self.energy.split(tokens @ self.value)).sum(dim=2)
        fused = weighted_sum(shares, tokens) + heads.flatten(start_dim=1) @ self.output
        return fused, received.mean(dim=1)


class CrossAttention(Fusion):
    """x = mean over present m of a_mm x_m + sum over n != m of a_mn W_V x_n: m asks the others.

    a_m is a softmax over the present n of the energies of ``DotProduct``, each head with its part
    of the vectors. A modality has no query for itself: e_mm = 0. So it keeps of its own token what
    it does not take from others, and alone it keeps all. Costs O(I M^2 D + I M D^2).

    Source: tsai2019mult, cross-modal attention.

    Deviations: a modality is one vector, so one attention reads all other modalities, where the
    paper has one per pair, over time; e_mm = 0 stands for the residual. A softmax over the
    others alone would be 1 for each of two modalities, whatever they say.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.energy = DotProduct(dim, rng)
        self.value = parameter((dim, dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are the mean share, over heads and m, that a modality has in m."""
        tokens = without_missing(tokens, present)
        shares = equal_shares(present, tokens.dtype)
        own = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
        attention = masked_softmax(
            self.energy(tokens).masked_fill(own, 0.0), present[:, None, None]
        )
        kept = shares.unsqueeze(1) * attention.diagonal(dim1=2, dim2=3)
        given = torch.einsum("im,ihmn->ihn", shares, attention.masked_fill(own, 0.0))
        values = self.energy.split(tokens @ self.value)
        heads = kept.unsqueeze(3) * self.energy.split(tokens) + given.unsqueeze(3) * values
        return heads.sum(dim=2).flatten(start_dim=1), (kept + given).mean(dim=1)


class CoAttention(Fusion):
    """x = sum_m alpha_m x_m, alpha = softmax over m of q_m . tanh(W_m x_m + sum_n C_mn W_n x_n).

    C_mn = tanh((U_m x_m) . (U_n x_n) / sqrt(D)) is the affinity of two modalities, n != m; both
    m and n run over the present. Costs O(I M^2 D + I M D^2).

    Source: lu2016hierarchical, parallel co-attention.

    Deviations: a modality is one vector, not a sequence. So C has one entry per pair of
    modalities, and the softmax that picks places of a sequence picks modalities. The matrix
    between the two sides is U_m' U_n, so that C_mn = C_nm for any M, and it is scaled by sqrt(D).
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.sides = matrices(num_modalities, (dim, dim), rng)
        self.transforms = matrices(num_modalities, (dim, dim), rng)
        self.queries = parameter((num_modalities, dim), rng)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse; the weights are alpha."""
        tokens = without_missing(tokens, present)
        sides, transformed = mapped(tokens, self.sides), mapped(tokens, self.transforms)
        affinity = torch.tanh(sides @ sides.transpose(1, 2) / math.sqrt(tokens.shape[2]))
        own = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
        heard = affinity.masked_fill(own, 0.0) @ transformed
        energy = (torch.tanh(transformed + heard) * self.queries).sum(dim=2)
        alpha = masked_softmax(energy, present)
        return weighted_sum(alpha, tokens), alpha
