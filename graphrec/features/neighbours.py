"""A modality of which only the nearest items are known: lists that others computed."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl

from graphrec.config import AbsolutePath, FeatureConfig
from graphrec.datasets.dataset import digest
from graphrec.features.features import Modality

if TYPE_CHECKING:
    from graphrec.graphs import Neighbours


class NeighbourFile(FeatureConfig):
    """An .npz file with the nearest items of each item, whatever is made of it."""

    path: AbsolutePath
    """Holds ``<array>_nbr [n, K]``, rows of other items, and ``<array>_cos [n, K]``."""
    array: str
    """What the names of the two arrays start with."""
    ids: AbsolutePath | None = None
    """Table of external ids and rows, separated by tabs; by default row r is the item r."""


class NeighbourConfig(NeighbourFile):
    """An .npz file with the nearest items of each item."""

    encoder: str = "neighbours"
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""


@dataclass(frozen=True, eq=False)
class GivenNeighbours(Modality):
    """Has no values, ``[I, 0]``: it takes part in the graph of similar items only."""

    neighbours: "Neighbours"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the lists."""
        return digest(self.neighbours.items, self.neighbours.cosines)


class NeighbourEncoder:
    """Nearest items computed elsewhere stand in for a modality in the graph of similar items."""

    Config: ClassVar[type[FeatureConfig]] = NeighbourConfig

    def __init__(self, config: NeighbourFile) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> GivenNeighbours:
        """Read the lists.

        Raises:
            DataError: a file cannot be read, or does not hold such lists of these items.
        """
        from graphrec.graphs import read_neighbours

        config = self.config
        found = read_neighbours(config.path, config.array, item_ids, ids=config.ids)
        present = np.any(found.items >= 0, axis=1)
        return GivenNeighbours(np.zeros((len(item_ids), 0), np.float32), present, found)
