"""Fuse by attention among the modality tokens of one item, never between items."""

import math
from itertools import combinations

import torch
from torch import Tensor, nn

from graphrec.nn.fusion.base import Fusion, WeightedSum
from graphrec.nn.init import matrices, parameter
from graphrec.nn.masking import equal_shares, mapped, mapped_alike, masked_softmax, weighted_sum


class DotProduct(nn.Module):
    """e[n, m, ih] = (W_Q x_im)_h . (W_K x_in)_h / sqrt(D / H): attention of m to n in head h.

    The number of heads H is the largest of 4, 2 and 1 that divides D. Modalities come first and the
    heads of all items last, so that sums over modalities are sums of long rows.

    Source: vaswani2017attention, Eq. 1.
    """

    def __init__(self, dim: int, rng: torch.Generator) -> None:
        super().__init__()
        self.heads = next(heads for heads in (4, 2, 1) if dim % heads == 0)
        self.query = parameter((dim, dim), rng)
        self.key = parameter((dim, dim), rng)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the energies ``[M, M, I H]`` of tokens ``[I, M, D]``."""
        scale = math.sqrt(tokens.shape[2] / self.heads)
        queries = self.split(mapped_alike(tokens, self.query / scale))
        keys = self.split(mapped_alike(tokens, self.key))
        return torch.stack([(queries * key).sum(dim=2) for key in keys])

    def softmax(self, energy: Tensor, present: Tensor) -> Tensor:
        """Return the attention a over the present n, zero for the missing; ``[M, M, I H]``."""
        return masked_softmax(energy, self.repeat(present).unsqueeze(1), dim=0)

    def split(self, tokens: Tensor) -> Tensor:
        """Split tokens ``[I, M, D]`` into heads, ``[M, I H, D / H]``."""
        return tokens.transpose(0, 1).unflatten(2, (self.heads, -1)).flatten(1, 2)

    def repeat(self, shares: Tensor) -> Tensor:
        """Repeat ``[I, M]`` for each head, ``[M, I H]``."""
        return shares.T.repeat_interleave(self.heads, dim=1)

    def mean(self, shares: Tensor) -> Tensor:
        """Average ``[M, I H]`` over the heads, ``[I, M]``."""
        return shares.unflatten(1, (-1, self.heads)).mean(dim=2).T


class SelfAttention(Fusion):
    """x = mean over present m of x_m + W_O sum_n a_mn W_V x_n, a_m = softmax over the present n.

    a_m is made from the energies of ``DotProduct``, and each head has its part of W_V. The mean
    over m is taken of a before a weighs the values, which is equal and cheaper. Costs
    O(I M^2 D + I M D^2). The weight of a modality is the attention that it receives, averaged over
    heads and m.

    Source: vaswani2017attention, Eq. 1 and section 3.2.2, with the residual of section 3.1.

    Deviations: no layer normalisation, which would undo the length of a token, and no
    feed-forward layer.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.energy = DotProduct(dim, rng)
        self.value = parameter((dim, dim), rng)
        self.output = parameter((dim, dim), rng)

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        values = self.energy.split(mapped_alike(tokens, self.value))
        heads = (self._received(tokens, present).unsqueeze(2) * values).sum(dim=0)
        mean = weighted_sum(equal_shares(present, tokens.dtype), tokens)
        return torch.addmm(mean, heads.view_as(mean), self.output)

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        return self.energy.mean(self._received(tokens, present))

    def _received(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return the attention that n gets in each head, averaged over present m, ``[M, I H]``."""
        attention = self.energy.softmax(self.energy(tokens), present)
        return (attention * self.energy.repeat(equal_shares(present, tokens.dtype))).sum(dim=1)


class CrossAttention(Fusion):
    """x = mean over present m of a_mm x_m + sum over n != m of a_mn W_V x_n: m reads the others.

    a_m is a softmax over the present n of the energies of ``DotProduct``, each head with its part
    of the vectors. A modality has no query for itself: e_mm = 0. So the share of its own token is
    the share that it does not take from others, and alone it keeps all of it. Costs
    O(I M^2 D + I M D^2).

    Source: tsai2019mult, cross-modal attention.

    Deviations: a modality is one vector, so one attention reads all other modalities, where the
    paper has one per pair, over time; e_mm = 0 takes the place of the residual. With two
    modalities, a softmax over the others alone would always be 1.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        self.energy = DotProduct(dim, rng)
        self.value = parameter((dim, dim), rng)

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        kept, given = self._shares(tokens, present)
        kept_tokens, values = (
            self.energy.split(part) for part in (tokens, mapped_alike(tokens, self.value))
        )
        heads = (kept.unsqueeze(2) * kept_tokens + given.unsqueeze(2) * values).sum(dim=0)
        return heads.view(len(tokens), -1)

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        kept, given = self._shares(tokens, present)
        return self.energy.mean(kept + given)

    def _shares(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares that n keeps of itself and passes to all others, ``[M, I H]`` each."""
        diagonal = torch.eye(present.shape[1], dtype=torch.bool, device=present.device).unsqueeze(2)
        attention = self.energy.softmax(self.energy(tokens).masked_fill(diagonal, 0.0), present)
        shares = attention * self.energy.repeat(equal_shares(present, tokens.dtype))
        kept = shares.diagonal().T
        return kept, shares.sum(dim=1) - kept


class CoAttention(WeightedSum):
    """x = sum_m alpha_m x_m, alpha = softmax over m of q_m . tanh(W_m x_m + sum_n C_mn W_n x_n).

    C_mn = tanh((U_m x_m) . (U_n x_n) / sqrt(D)) is the affinity of two modalities, n != m; both
    m and n are present modalities. Costs O(I M^2 D + I M D^2).

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

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        sides, transformed = (mapped(tokens, w).unbind(1) for w in (self.sides, self.transforms))
        hidden, scale = list(transformed), math.sqrt(tokens.shape[2])
        for m, n in combinations(range(len(hidden)), 2):
            affinity = torch.tanh((sides[m] * sides[n]).sum(dim=1, keepdim=True) / scale)
            hidden[m] = torch.addcmul(hidden[m], affinity, transformed[n])
            hidden[n] = torch.addcmul(hidden[n], affinity, transformed[m])
        pairs = zip(hidden, self.queries, strict=True)
        energy = torch.stack([(torch.tanh(h) * query).sum(dim=1) for h, query in pairs], dim=1)
        return masked_softmax(energy, present)
