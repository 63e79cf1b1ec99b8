"""The contract of a fusion, and what fusions share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Turns M vectors per item, of which some are missing, into one.

    A missing modality takes no part: its token may hold any finite value and changes nothing.
    Items with no modality at all get the zero vector.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse.

        Shapes:
            tokens: ``[I, M, D]``; present: ``[I, M]`` bool.
            result: fused ``[I, D]`` and the weight of each modality ``[I, M]``, zero where
            missing.
        """


def parameter(shape: tuple[int, ...], rng: torch.Generator) -> nn.Parameter:
    """A Xavier-normal parameter drawn from ``rng``."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(shape), generator=rng))


def matrices(count: int, shape: tuple[int, int], rng: torch.Generator) -> nn.ParameterList:
    """``count`` Xavier-normal matrices drawn from ``rng``."""
    return nn.ParameterList(parameter(shape, rng) for _ in range(count))


def mapped(tokens: Tensor, weights: nn.ParameterList) -> Tensor:
    """x_m W_m: ``[I, M, D]``, each modality through its own ``[D, E]``, to ``[I, M, E]``."""
    return torch.einsum("imd,mde->ime", tokens, torch.stack(list(weights)))


def without_missing(tokens: Tensor, present: Tensor) -> Tensor:
    """The tokens with zeros in place of those that are missing."""
    return tokens.masked_fill(~present.unsqueeze(-1), 0.0)


def equal_shares(present: Tensor, dtype: torch.dtype) -> Tensor:
    """1 / n for each of the n present modalities of an item, ``[I, M]``; zero where missing."""
    return present.to(dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)


def masked_softmax(energy: Tensor, mask: Tensor) -> Tensor:
    """Softmax along the last dimension among the entries in ``mask``; zero for all others."""
    lowest = torch.finfo(energy.dtype).min  # finite, so that rows without any stay free of NaN
    return torch.softmax(energy.masked_fill(~mask, lowest), dim=-1) * mask


def weighted_sum(weights: Tensor, tokens: Tensor) -> Tensor:
    """``[I, M]`` and ``[I, M, D]`` to ``[I, D]``."""
    return (weights.unsqueeze(-1) * tokens).sum(dim=1)
