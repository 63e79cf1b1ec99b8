"""The contract of a fusion, and what fusions share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Turns M vectors per item, of which some are missing, into one.

    A missing modality takes no part: its token may hold any finite value and changes nothing.
    Items with no modality at all get the zero vector.

    Tokens ``[I, M, D]`` had best lie in memory as ``[M, I, D]``, as ``ItemContent`` makes them:
    then what is done to one modality is done to one block.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse.

        Shapes:
            tokens: ``[I, M, D]``; present: ``[I, M]`` bool; result: ``[I, D]``.
        """
        return self._fuse(without_missing(tokens, present), present)

    @torch.no_grad()
    def modality_weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """How much each modality counts, ``[I, M]``, zero where missing: a report, no gradient."""
        return self._weights(without_missing(tokens, present), present)

    @abstractmethod
    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens that are zeros where missing."""

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """|x - x without m| over the sum of these: what leaving m out would change.

        For formulas that have no weights; tokens are zeros where missing.
        """
        fused = self._fuse(tokens, present)
        modalities = torch.arange(present.shape[1], device=present.device)
        others = [self(tokens, present & (modalities != m)) for m in modalities]
        changes = torch.stack([(fused - each).norm(dim=1) for each in others], dim=1)
        return changes / changes.sum(dim=1, keepdim=True).clamp(min=torch.finfo(changes.dtype).tiny)


class WeightedSum(Fusion):
    """x = sum over the present m of a_m x_m; the weights of the modalities are a."""

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        return weighted_sum(self._weights(tokens, present), tokens)

    @abstractmethod
    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """a, ``[I, M]``, zero where missing."""


def parameter(shape: tuple[int, ...], rng: torch.Generator) -> nn.Parameter:
    """A Xavier-normal parameter drawn from ``rng``."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(shape), generator=rng))


def matrices(count: int, shape: tuple[int, int], rng: torch.Generator) -> nn.ParameterList:
    """``count`` Xavier-normal matrices drawn from ``rng``."""
    return nn.ParameterList(parameter(shape, rng) for _ in range(count))


def mapped(tokens: Tensor, weights: nn.ParameterList) -> Tensor:
    """x_m W_m: ``[I, M, D]``, each modality through its own ``[D, E]``, to ``[I, M, E]``."""
    return (tokens.transpose(0, 1) @ torch.stack(list(weights))).transpose(0, 1)


def mapped_alike(tokens: Tensor, weight: Tensor) -> Tensor:
    """x_m W: ``[I, M, D]``, all modalities through one ``[D, E]``, to ``[I, M, E]``."""
    return (tokens.transpose(0, 1) @ weight).transpose(0, 1)


def without_missing(tokens: Tensor, present: Tensor) -> Tensor:
    """The tokens with zeros in place of those that are missing."""
    return tokens * present.unsqueeze(-1).to(tokens.dtype)  # half as many passes as masked_fill


def equal_shares(present: Tensor, dtype: torch.dtype) -> Tensor:
    """1 / n for each of the n present modalities of an item, ``[I, M]``; zero where missing."""
    return present.to(dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)


def masked_softmax(energy: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Softmax along a dimension among the entries in ``mask``; zero for all others."""
    lowest = torch.finfo(energy.dtype).min  # finite, so that rows without any stay free of NaN
    return torch.softmax(energy.masked_fill(~mask, lowest), dim=dim) * mask


def weighted_sum(weights: Tensor, tokens: Tensor) -> Tensor:
    """``[I, M]`` and ``[I, M, D]`` to ``[I, D]``."""
    return (weights.unsqueeze(-1) * tokens).sum(dim=1)
