"""Fuse by a mixture of experts: small networks, weighted by a gate."""

import torch
from torch import Tensor

from graphrec.nn.fusion.base import Fusion
from graphrec.nn.init import matrices, parameter
from graphrec.nn.masking import equal_shares, masked_softmax, weighted_sum

SHARED = 2
"""Number S of experts of ``Experts`` that read all modalities."""


class Experts(Fusion):
    """x = sum over present m of g_m E_m(x_m) + sum over s = 1, 2 of g_s E_s(y), mixture of experts.

    y is the mean of the present x_m. The gate g is a softmax of W y over the experts of the present
    modalities and the two shared ones. Every expert is a network E(z) = V relu(U z); without
    biases, an item without modalities gets zeros. Costs O(I M D^2). The weight of a modality is g_m
    plus 1 / n of the weights of the shared experts, for n present modalities.

    Source: shazeer2017outrageously, Eq. 1 and 2; own and shared experts tang2020ple.

    Deviations: all experts are evaluated: the gate has no noise and is not cut to the k largest.
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
        inputs = (*tokens.unbind(1), *[mean] * SHARED)
        for z, (hidden, output, share) in zip(inputs, experts, strict=True):
            fused = torch.addmm(fused, torch.relu(z @ hidden) * share.unsqueeze(1), output)
        return fused

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        shares = equal_shares(present, tokens.dtype)
        gate = self._gate(weighted_sum(shares, tokens), present)
        single, shared = gate.split((present.shape[1], SHARED), dim=1)
        return single + shared.sum(dim=1, keepdim=True) * shares

    def _gate(self, mean: Tensor, present: Tensor) -> Tensor:
        mask = torch.cat([present, present.new_ones(len(present), SHARED)], dim=1)
        return masked_softmax(mean @ self.gate, mask)
