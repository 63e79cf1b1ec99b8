"""Align modalities adversarially: train tokens that do not reveal their modality."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.nn.init import parameter


class _Context(torch.autograd.function.FunctionCtx):
    scale: float


class _Reverse(torch.autograd.Function):
    """The identity ``x``; its gradient is ``-scale g``."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(x: Tensor, scale: float) -> Tensor:
    """Return ``x``, with a gradient that is reversed and multiplied by ``scale``.

    Source: ganin2016dann, Section 4.2.
    """
    result: Tensor = _Reverse.apply(x, scale)
    return result


class Discriminator(nn.Module):
    """Classifier of modalities by V relu(U x + a) + b, against which tokens hide theirs.

    The result is the mean cross-entropy of the predictions over all present tokens. It trains the
    discriminator at full strength, and the layers that made the tokens at ``-scale`` times it.

    Shapes:
        tokens: ``[n, M, D]``; present: ``[n, M]`` bool; result: scalar.

    Source: ganin2016dann, with modalities as domains.
    Deviations: scale is constant and not raised in the course of training.
    """

    def __init__(self, num_modalities: int, dim: int, scale: float, rng: torch.Generator) -> None:
        super().__init__()
        self.scale = scale
        self.hidden = parameter((dim, dim), rng)
        self.hidden_bias = nn.Parameter(torch.zeros(dim))
        self.output = parameter((dim, num_modalities), rng)
        self.output_bias = nn.Parameter(torch.zeros(num_modalities))

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits of the M modalities, ``[..., M]``, for tokens ``[..., D]``."""
        hidden = torch.relu(tokens @ self.hidden + self.hidden_bias)
        return hidden @ self.output + self.output_bias

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return the mean cross-entropy of the predictions."""
        modalities = torch.arange(present.shape[1], device=present.device).expand_as(present)
        logits = self.logits(reverse_gradient(tokens[present], self.scale))
        total = functional.cross_entropy(logits, modalities[present], reduction="sum")
        return total / max(len(logits), 1)
