"""Draw initial values from a generator."""

import torch
from torch import nn


def parameter(shape: tuple[int, ...], rng: torch.Generator) -> nn.Parameter:
    """Return a Xavier-normal parameter drawn from ``rng``."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(shape), generator=rng))


def matrices(count: int, shape: tuple[int, int], rng: torch.Generator) -> nn.ParameterList:
    """Return ``count`` Xavier-normal matrices drawn from ``rng``."""
    return nn.ParameterList(parameter(shape, rng) for _ in range(count))


def linear(width: int, result: int, rng: torch.Generator) -> nn.Linear:
    """Return a layer with Xavier-normal weights drawn from ``rng`` and biases of 0."""
    layer = nn.utils.skip_init(nn.Linear, width, result)
    nn.init.xavier_normal_(layer.weight, generator=rng)
    nn.init.zeros_(layer.bias)
    return layer
