"""Generate missing rows by a conditional generative adversarial network."""

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
    """Critic of rows beside the other modalities of their items: a logit ``[B]`` of being real."""

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
    """A generator G(z, c) and a critic D(y, c) with logits; each has its own condition c.

    They take turns, with means over items and softplus(x) = log(1 + e^x):

        D minimises  softplus(-D(y)) + softplus(D(G(z)))
        G minimises  softplus(-D(G(z))) + 10 |y - G(z)|^2 / F

    Source: mirza2014cgan; the squared error is added as in isola2017pix2pix.

    Deviations: the added error is squared, not absolute; a row is generated at z = 0.
    """

    def __init__(
        self, widths: Sequence[int], width: int, hidden: int, rng: torch.Generator
    ) -> None:
        super().__init__(widths, width, hidden, rng)
        self.condition = Condition(widths, hidden, rng)
        self.generator = perceptron(NOISE + self.condition.width, hidden, width, rng)
        self.critic = Critic(widths, width, hidden, rng)

    def forward(self, noise: Tensor, known: Known) -> Tensor:
        """Generate rows ``[B, F]``."""
        generated: Tensor = self.generator(torch.cat([noise, self.condition(known)], dim=1))
        return generated

    def critic_loss(self, rows: Tensor, known: Known, noise: Tensor) -> Tensor:
        """Return the loss of the critic."""
        with torch.no_grad():
            made = self(noise, known)
        real, fake = self.critic(rows, known), self.critic(made, known)
        return (softplus(-real) + softplus(fake)).mean()

    def generator_loss(self, rows: Tensor, known: Known, noise: Tensor) -> Tensor:
        """Return the loss of the generator."""
        made = self(noise, known)
        fooled = softplus(-self.critic(made, known)).mean()
        return fooled + NEARNESS * (rows - made).square().mean()

    def objectives(self) -> list[Objective]:
        """Return the objective of the critic, then that of the generator."""
        generator = [*self.condition.parameters(), *self.generator.parameters()]
        return [
            (list(self.critic.parameters()), self.critic_loss),
            (generator, self.generator_loss),
        ]


def by_gan(gap: MissingModality, config: MissingConfig) -> Filling:
    """Generate rows with a ``GAN``."""
    return generated(gap, config, GAN)
