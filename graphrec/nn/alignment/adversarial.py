"""Adversarial alignment: tokens that do not show which modality they come from."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.nn.init import parameter


class _Context(torch.autograd.function.FunctionCtx):
    scale: float


class _Reverse(torch.autograd.Function):
    """``x``; gradient ``-scale g``."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(x: Tensor, scale: float) -> Tensor:
    """Return ``x``; its gradient is turned round and multiplied by ``scale``.

    Source: ganin2016dann, Section 4.2.
    """
    result: Tensor = _Reverse.apply(x, scale)
    return result


class Discriminator(nn.Module):
    """Guesses the modality of a token by V relu(U x + a) + b, and teaches tokens to hide it.

    The result is the mean cross-entropy of the guesses over all present tokens. It teaches the
    discriminator at full strength, and whatever made the tokens at ``-scale`` times it.

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
        """Energies of the M modalities for tokens ``[..., D]``, ``[..., M]``."""
        hidden = torch.relu(tokens @ self.hidden + self.hidden_bias)
        return hidden @ self.output + self.output_bias

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Mean cross-entropy of the guesses."""
        modalities = torch.arange(present.shape[1], device=present.device).expand_as(present)
        logits = self.logits(reverse_gradient(tokens[present], self.scale))
        total = functional.cross_entropy(logits, modalities[present], reduction="sum")
        return total / max(len(logits), 1)
