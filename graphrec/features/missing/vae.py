"""Generate missing rows by a conditional variational autoencoder."""

from collections.abc import Sequence

import torch
from torch import Tensor

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


class VAE(Generative):
    """p(y | z, c) = Normal(decoder(z, c), 1), p(z) = Normal(0, 1), q(z | y, c) = Normal(m, s^2).

    Minimises the negative lower bound of log p(y | c), a mean over items of
    ``1/2 |y - decoder(m + s noise, c)|^2 + 1/2 sum(m^2 + s^2 - 1 - log s^2)`` with
    ``[m, log s^2] = encoder(y, c)``.

    Source: sohn2015cvae.

    Deviations: the prior of z does not depend on c; a row is generated at z = 0.
    """

    def __init__(
        self, widths: Sequence[int], width: int, hidden: int, rng: torch.Generator
    ) -> None:
        super().__init__(widths, width, hidden, rng)
        self.condition = Condition(widths, hidden, rng)
        self.encoder = perceptron(width + self.condition.width, hidden, 2 * NOISE, rng)
        self.decoder = perceptron(NOISE + self.condition.width, hidden, width, rng)

    def forward(self, noise: Tensor, known: Known) -> Tensor:
        """Decode rows ``[B, F]``."""
        decoded: Tensor = self.decoder(torch.cat([noise, self.condition(known)], dim=1))
        return decoded

    def bound(self, rows: Tensor, known: Known, noise: Tensor) -> Tensor:
        """Return the negative lower bound, without constants."""
        condition = self.condition(known)
        mean, log_variance = self.encoder(torch.cat([rows, condition], dim=1)).chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * noise
        decoded = self.decoder(torch.cat([z, condition], dim=1))
        squares = (rows - decoded).square().sum(dim=1)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (squares + divergence).mean() / 2

    def objectives(self) -> list[Objective]:
        """Return the objective: all weights minimise the bound."""
        return [(list(self.parameters()), self.bound)]


def by_vae(gap: MissingModality, config: MissingConfig) -> Filling:
    """Generate rows with a ``VAE``."""
    return generated(gap, config, VAE)
