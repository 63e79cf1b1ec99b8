"""A modality of which only the nearest items are known: lists that others computed."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl

from graphrec.core.config import AbsolutePath
from graphrec.data.neighbours import GivenNeighbours
from graphrec.features.config import FeatureConfig
from graphrec.features.tabular.neighbour_files import read_neighbours

if TYPE_CHECKING:
    pass


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
        config = self.config
        found = read_neighbours(config.path, config.array, item_ids, ids=config.ids)
        present = np.any(found.items >= 0, axis=1)
        return GivenNeighbours(np.zeros((len(item_ids), 0), np.float32), present, found)
