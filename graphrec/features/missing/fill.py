"""Remove modalities of items, then fill what is missing."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Features, Interactions, Modality
from graphrec.data.neighbours import GivenNeighbours
from graphrec.features.controls import why_fixed
from graphrec.features.missing.config import FROM_OTHERS, MissingConfig
from graphrec.features.missing.gan import by_gan
from graphrec.features.missing.missing_modality import Filling, MissingModality
from graphrec.features.missing.neighbours import by_neighbours
from graphrec.features.missing.regression import by_regression
from graphrec.features.missing.removal import without
from graphrec.features.missing.token import TokenModality
from graphrec.features.missing.vae import by_vae


def by_mean(gap: MissingModality, config: MissingConfig) -> Filling:
    """Fill no item here; every item left unfilled receives the mean row."""
    return Filling(gap.missing[:0], gap.modality.values[:0])


STRATEGIES: dict[str, Callable[[MissingModality, MissingConfig], Filling]] = {
    "mean": by_mean,
    "neighbours": by_neighbours,
    "regression": by_regression,
    "gan": by_gan,
    "vae": by_vae,
}
"""Strategies that compute rows; mask leaves gaps, and token fills them with a learned row."""


@dataclass(frozen=True)
class Change:
    """Record of the removal and filling of one modality.

    Attributes:
        modality: name of the modality.
        strategy: the strategy of filling.
        removed: number of items that lost it.
        missing: number of items without it after the removal.
        filled: number of these items that have a row afterwards.
        by_mean: number of items that the strategy left unfilled, so that they have the mean row.
    """

    modality: str
    strategy: str
    removed: int
    missing: int
    filled: int
    by_mean: int

    @property
    def details(self) -> dict[str, Json]:
        """Return all fields."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"Missing {self.modality}: taken from {self.removed:,} items, then lacked by "
            f"{self.missing:,}; {self.strategy} filled {self.filled:,}, {self.by_mean:,} of them "
            f"with the mean"
        )


def remove_and_fill(
    features: Features, train: Interactions, config: MissingConfig
) -> tuple[Features, tuple[Change, ...]]:
    """Remove modalities from items as ``config`` says, then fill all that is missing.

    Every modality is filled from the features as they are after the removal, with what can be
    learned from the training items. A strategy other than mask leaves no gap: an item that it does
    not fill gets the mean row of the training items that have the modality.

    Raises:
        ConfigError: a modality is not a matrix in memory, no item or no training item would have
            it, or there is no second modality to learn from.
    """
    if not config.active:
        return features, ()
    targets = [name for name in features if config.modalities is None or name in config.modalities]
    left = dict(features)
    for name in targets:
        problem = _problem(features[name])
        if problem:
            raise ConfigError(
                f"[missing] cannot act on [features.{name}]: {problem}. Name the other modalities "
                f"in missing.modalities, or change or remove this one."
            )
        left[name] = without(name, features[name], train.item_degrees, config)
    sources = {name: modality for name, modality in left.items() if not _problem(modality)}
    result, changes = dict(left), []
    for name in targets:
        others = {other: modality for other, modality in sources.items() if other != name}
        gap = MissingModality(name, left[name], others, train)
        result[name], by_mean = _fill(gap, config)
        had, kept, now = (int(state[name].present.sum()) for state in (features, left, result))
        gone = len(gap.missing)
        changes.append(Change(name, config.strategy, had - kept, gone, now - kept, by_mean))
    return Features(result, features.num_items), tuple(changes)


def _problem(modality: Modality) -> str:
    """Return why a modality is not a matrix that may be changed; empty if it is one."""
    if isinstance(modality, GivenNeighbours):
        return "it holds lists of neighbours and no rows"
    return why_fixed(modality)


def _fill(gap: MissingModality, config: MissingConfig) -> tuple[Modality, int]:
    """Return the modality without gaps, and the number of gaps that hold the mean."""
    if config.strategy in FROM_OTHERS and not gap.sources:
        raise ConfigError(
            f"missing.strategy = {config.strategy!r} fills {gap.name!r} from another modality that "
            f"is a matrix, and there is none. Add a [features.NAME] or use mean, neighbours or "
            f"token."
        )
    if config.strategy == "mask" or not len(gap.missing):
        return gap.modality, 0
    if not len(gap.examples):
        raise ConfigError(
            f"missing.strategy = {config.strategy!r} has nothing to learn from: no item with "
            f"training interactions has modality {gap.name!r}. Lower missing.rate, name other "
            f"modalities in missing.modalities, or use mask."
        )
    if config.strategy == "token":
        values = np.where(gap.modality.present[:, None], gap.modality.values, np.float32(0))
        present = np.ones_like(gap.modality.present)
        start = gap.mean.astype(np.float32)
        return TokenModality(values, present, ~gap.modality.present, start), 0
    items, rows = STRATEGIES[config.strategy](gap, config)
    values = gap.modality.values.copy()
    values[gap.missing] = gap.mean
    values[items] = rows
    return Modality(values, np.ones_like(gap.modality.present)), len(gap.missing) - len(items)
