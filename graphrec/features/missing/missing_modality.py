"""Define the input of a filling strategy: the incomplete modality, the others, and train."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from graphrec.data import Interactions, Modality
from graphrec.features.missing.removal import Items

Matrix = npt.NDArray[np.float32]
Real = npt.NDArray[np.float64]


class Filling(NamedTuple):
    """Rows ``[n, F]`` for some of the items ``[n]`` that lack a modality."""

    items: Items
    rows: Matrix | Real


@dataclass(frozen=True, eq=False)
class MissingModality:
    """A modality that some items lack: the input of a filling strategy.

    Attributes:
        name: name of the modality.
        modality: the incomplete modality.
        sources: the other modalities that are matrices; each may have gaps of its own.
        train: the training part. Nothing is learned from items without training interactions.
    """

    name: str
    modality: Modality
    sources: Mapping[str, Modality]
    train: Interactions

    @cached_property
    def missing(self) -> Items:
        """Return the items without the modality."""
        return np.flatnonzero(~self.modality.present)

    @cached_property
    def examples(self) -> Items:
        """Return the items with the modality and with training interactions."""
        return np.flatnonzero(self.modality.present & (self.train.item_degrees > 0))

    @cached_property
    def mean(self) -> Real:
        """Return the mean row of the examples, ``[F]``."""
        mean: Real = self.modality.values[self.examples].mean(axis=0, dtype=np.float64)
        return mean

    @cached_property
    def has(self) -> npt.NDArray[np.bool_]:
        """Return the mask of the sources of each item, ``[I, S]``, in the order of their names."""
        masks = [self.sources[name].present for name in sorted(self.sources)]
        return np.stack(masks, axis=1)


FINEST = 1e-6
"""Share of the largest value below which a deviation is rounding: all rows are equal."""


@dataclass(frozen=True, eq=False)
class Scale:
    """x -> (x - mean) / size: mean 0 per column, mean square 1 over the whole matrix.

    One size for all columns keeps the relative weights of the columns. Rows that are all equal have
    size 1.
    """

    mean: Real
    size: float

    @classmethod
    def of(cls, rows: Matrix) -> Self:
        """Measure the scale of the rows ``[n, F]``, n > 0."""
        exact = rows.astype(np.float64)
        mean: Real = exact.mean(axis=0)
        size = float(np.sqrt(np.square(exact - mean).mean()))
        return cls(mean, size if size > FINEST * np.abs(exact).max() else 1.0)

    def apply(self, rows: Matrix) -> Real:
        """Scale rows ``[n, F]``."""
        scaled: Real = (rows - self.mean) / self.size
        return scaled

    def undo(self, scaled: Matrix | Real) -> Real:
        """Return scaled rows to the original unit."""
        rows: Real = scaled * self.size + self.mean
        return rows
