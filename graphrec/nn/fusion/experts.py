"""Mixture of experts: small networks, and a gate that says how much each of them counts."""

import torch
from torch import Tensor

from graphrec.nn.fusion.base import Fusion
from graphrec.nn.init import matrices, parameter
from graphrec.nn.masking import equal_shares, masked_softmax, weighted_sum

SHARED = 2
"""Experts S of ``Experts`` that read all modalities."""


class Experts(Fusion):
    """x = sum over present m of g_m E_m(x_m) + sum over s = 1, 2 of g_s E_s(y), mixture of experts.

    y is the mean of the present x_m, the gate g = softmax of W y over the experts of the present
    modalities and the two shared ones, and every expert is a network E(z) = V relu(U z). Without
    biases, an item without modalities gets zeros. Costs O(I M D^2). The weight of a modality is g_m
    plus 1 / n of what the shared experts have, for n present.

    Source: shazeer2017outrageously, Eq. 1 and 2; own and shared experts tang2020ple.

    Deviations: all experts are asked: the gate has no noise and keeps more than the k largest.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__(num_modalities, dim, rng)
        experts = num_modalities + SHARED
        self.hidden = matrices(experts, (dim, dim), rng)
        self.output = matrices(experts, (dim, dim), rng)
        self.gate = parameter((dim, experts), rng)

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        mean = weighted_sum(equal_shares(present, tokens.dtype), tokens)
        gate = self._gate(mean, present)
        fused = torch.zeros_like(mean)
        experts = zip(self.hidden, self.output, gate.unbind(1), strict=True)
        asked = (*tokens.unbind(1), *[mean] * SHARED)
        for z, (hidden, output, share) in zip(asked, experts, strict=True):
            fused = torch.addmm(fused, torch.relu(z @ hidden) * share.unsqueeze(1), output)
        return fused

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        shares = equal_shares(present, tokens.dtype)
        gate = self._gate(weighted_sum(shares, tokens), present)
        own, shared = gate.split((present.shape[1], SHARED), dim=1)
        return own + shared.sum(dim=1, keepdim=True) * shares

    def _gate(self, mean: Tensor, present: Tensor) -> Tensor:
        mask = torch.cat([present, present.new_ones(len(present), SHARED)], dim=1)
        return masked_softmax(mean @ self.gate, mask)
