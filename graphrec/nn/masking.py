"""Operate on tokens of which some are missing."""

import torch
from torch import Tensor, nn


def mapped(tokens: Tensor, weights: nn.ParameterList) -> Tensor:
    """Map each modality by its own matrix, x_m W_m: ``[I, M, D]`` to ``[I, M, E]``."""
    return (tokens.transpose(0, 1) @ torch.stack(list(weights))).transpose(0, 1)


def mapped_alike(tokens: Tensor, weight: Tensor) -> Tensor:
    """Map all modalities by one matrix, x_m W: ``[I, M, D]`` to ``[I, M, E]``."""
    return (tokens.transpose(0, 1) @ weight).transpose(0, 1)


def without_missing(tokens: Tensor, present: Tensor) -> Tensor:
    """Return the tokens with zeros in place of those that are missing."""
    return tokens * present.unsqueeze(-1).to(tokens.dtype)  # half as many passes as masked_fill


def equal_shares(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 1 / n for each of the n present modalities of an item, ``[I, M]``; 0 if missing."""
    return present.to(dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)


def masked_softmax(energy: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Take the softmax along a dimension among the entries in ``mask``; zero for all others."""
    lowest = torch.finfo(energy.dtype).min  # finite, so that a fully masked row has no NaN
    return torch.softmax(energy.masked_fill(~mask, lowest), dim=dim) * mask


def weighted_sum(weights: Tensor, tokens: Tensor) -> Tensor:
    """Sum tokens ``[I, M, D]`` with weights ``[I, M]``, to ``[I, D]``."""
    return (weights.unsqueeze(-1) * tokens).sum(dim=1)
