"""A conditional generative adversarial network that generates a missing row."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.generative import (
    NOISE,
    Condition,
    Generative,
    Known,
    Objective,
    generated,
    perceptron,
)
from graphrec.features.missing.missing_modality import Filling, MissingModality

NEARNESS = 10.0
"""Weight of the squared error beside the adversarial term."""


class Critic(nn.Module):
    """How real a row looks beside the other modalities of its item, a logit ``[B]``."""

    def __init__(
        self, widths: Sequence[int], width: int, hidden: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.condition = Condition(widths, hidden, rng)
        self.judge = perceptron(width + self.condition.width, hidden, 1, rng)

    def forward(self, rows: Tensor, known: Known) -> Tensor:
        """Judge rows ``[B, F]``."""
        logits: Tensor = self.judge(torch.cat([rows, self.condition(known)], dim=1))
        return logits.squeeze(1)


class GAN(Generative):
    """A generator G(z, c) and a critic D(y, c) with logits; each has a condition c of its own.

    In turn, as means over items and with softplus(x) = log(1 + e^x):

        D minimises  softplus(-D(y)) + softplus(D(G(z)))
        G minimises  softplus(-D(G(z))) + 10 |y - G(z)|^2 / F

    Source: mirza2014cgan; the term of nearness is that of isola2017pix2pix.

    Deviations: nearness is a squared error, not an absolute one; a row is generated at z = 0.
    """

    def __init__(
        self, widths: Sequence[int], width: int, hidden: int, rng: torch.Generator
    ) -> None:
        super().__init__(widths, width, hidden, rng)
        self.condition = Condition(widths, hidden, rng)
        self.generator = perceptron(NOISE + self.condition.width, hidden, width, rng)
        self.critic = Critic(widths, width, hidden, rng)

    def forward(self, noise: Tensor, known: Known) -> Tensor:
        """Generate ``[B, F]``."""
        made: Tensor = self.generator(torch.cat([noise, self.condition(known)], dim=1))
        return made

    def critic_loss(self, rows: Tensor, known: Known, noise: Tensor) -> Tensor:
        """What the critic minimises."""
        with torch.no_grad():
            made = self(noise, known)
        real, fake = self.critic(rows, known), self.critic(made, known)
        return (softplus(-real) + softplus(fake)).mean()

    def generator_loss(self, rows: Tensor, known: Known, noise: Tensor) -> Tensor:
        """What the generator minimises."""
        made = self(noise, known)
        fooled = softplus(-self.critic(made, known)).mean()
        return fooled + NEARNESS * (rows - made).square().mean()

    def objectives(self) -> list[Objective]:
        """The critic, then the generator."""
        generator = [*self.condition.parameters(), *self.generator.parameters()]
        return [
            (list(self.critic.parameters()), self.critic_loss),
            (generator, self.generator_loss),
        ]


def by_gan(gap: MissingModality, config: MissingConfig) -> Filling:
    """Generate rows with a ``GAN``."""
    return generated(gap, config, GAN)
