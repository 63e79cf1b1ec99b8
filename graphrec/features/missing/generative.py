"""Train networks that generate missing rows, and use them: the base of gan and vae."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from graphrec.core.rng import torch_stream
from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.missing_modality import Filling, MissingModality, Scale
from graphrec.features.missing.removal import Items
from graphrec.nn.init import linear

NOISE = 8
"""Width of the noise z."""

BATCH = 256
"""Examples of a training step, drawn with replacement; all of them where there are fewer."""

LEARNING_RATE = 2e-3


class Known(NamedTuple):
    """Known modalities of B items: S scaled sources ``[B, P_s]``, and a mask of them ``[B, S]``."""

    sources: tuple[Tensor, ...]
    present: Tensor

    def select(self, rows: Tensor) -> Self:
        """Return some of the items."""
        return type(self)(tuple(source[rows] for source in self.sources), self.present[rows])


def perceptron(width: int, hidden: int, result: int, rng: torch.Generator) -> nn.Sequential:
    """Return a network with one hidden layer and ReLU."""
    return nn.Sequential(linear(width, hidden, rng), nn.ReLU(), linear(hidden, result, rng))


class Condition(nn.Module):
    """c = [mean of P_s x_s + b_s over the present sources s; mask of the present sources].

    Shapes:
        result: ``[B, hidden + S]``.
    """

    def __init__(self, widths: Sequence[int], hidden: int, rng: torch.Generator) -> None:
        super().__init__()
        self.projections = nn.ModuleList(linear(width, hidden, rng) for width in widths)
        self.width = hidden + len(widths)

    def forward(self, known: Known) -> Tensor:
        """Describe the items."""
        pairs = zip(self.projections, known.sources, strict=True)
        projected = torch.stack([project(rows) for project, rows in pairs], dim=1)
        total = (projected * known.present.unsqueeze(2)).sum(dim=1)
        count = known.present.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.cat([total / count, known.present], dim=1)


Objective = tuple[list[nn.Parameter], Callable[[Tensor, Known, Tensor], Tensor]]
"""Weights, and their loss as a function of scaled rows ``[B, F]``, known modalities and noise."""


class Generative(nn.Module, ABC):
    """Base of networks that draw the scaled row y of a modality from noise and the others."""

    def __init__(
        self, widths: Sequence[int], width: int, hidden: int, rng: torch.Generator
    ) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, noise: Tensor, known: Known) -> Tensor:
        """Generate rows ``[B, F]`` from noise ``[B, NOISE]``."""

    @abstractmethod
    def objectives(self) -> list[Objective]:
        """Return the objectives that are minimised in turn in every step."""

    def train_on(self, rows: Tensor, known: Known, steps: int, rng: torch.Generator) -> None:
        """Train with Adam on batches of the examples; all random numbers come from ``rng``."""
        turns = [
            (torch.optim.Adam(weights, lr=LEARNING_RATE), loss)
            for weights, loss in self.objectives()
        ]
        batch = torch.arange(len(rows))
        for _ in range(steps):
            if len(rows) > BATCH:
                batch = torch.randint(len(rows), (BATCH,), generator=rng)
            noise = torch.randn(len(batch), NOISE, generator=rng)
            for optimizer, loss in turns:
                optimizer.zero_grad()
                loss(rows[batch], known.select(batch), noise).backward()
                optimizer.step()


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network with the scales of its inputs and its output."""

    network: Generative
    inputs: tuple[Scale, ...]
    target: Scale

    @classmethod
    def fit(
        cls, gap: MissingModality, config: MissingConfig, kind: type[Generative]
    ) -> Self | None:
        """Train on the examples that have another modality; return None if there are none.

        Each scale is that of the rows of training items.
        """
        items = gap.examples[gap.has[gap.examples].any(axis=1)]
        if not len(items):
            return None
        warm = gap.train.item_degrees > 0
        inputs = []
        for name in sorted(gap.sources):
            source = gap.sources[name]
            seen = source.values[source.present & warm]
            inputs.append(Scale.of(seen if len(seen) else np.zeros_like(source.values[:1])))
        targets = gap.modality.values[items]
        target = Scale.of(targets)
        rng = torch_stream(config.seed, f"missing/{config.strategy}/{gap.name}")
        widths = [len(scale.mean) for scale in inputs]
        network = kind(widths, len(target.mean), config.hidden, rng)
        rows = torch.from_numpy(target.apply(targets)).float()
        fitted = cls(network, tuple(inputs), target)
        network.train_on(rows, fitted.known(gap, items), config.steps, rng)
        return fitted

    def known(self, gap: MissingModality, items: Items) -> Known:
        """Return the known modalities of some items."""
        sources = tuple(
            torch.from_numpy(scale.apply(gap.sources[name].values[items])).float()
            for scale, name in zip(self.inputs, sorted(gap.sources), strict=True)
        )
        return Known(sources, torch.from_numpy(gap.has[items]).float())

    @torch.no_grad()
    def generate(self, gap: MissingModality, items: Items) -> Filling:
        """Generate the rows of items at z = 0, the centre of the noise."""
        scaled = self.network(torch.zeros(len(items), NOISE), self.known(gap, items))
        return Filling(items, self.target.undo(scaled.numpy()))


def generated(gap: MissingModality, config: MissingConfig, kind: type[Generative]) -> Filling:
    """Fill the items that have another modality, by a network trained on the training items."""
    items = gap.missing[gap.has[gap.missing].any(axis=1)]
    fitted = Fitted.fit(gap, config, kind) if len(items) else None
    if fitted is None:
        return Filling(gap.missing[:0], gap.modality.values[:0])
    return fitted.generate(gap, items)
