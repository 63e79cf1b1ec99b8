"""Read a modality of which only the nearest items are known, from lists computed elsewhere."""

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
    """Settings of an .npz file with the nearest items of each item, for any use of them."""

    path: AbsolutePath
    """File with ``<array>_nbr [n, K]``, rows of other items, and ``<array>_cos [n, K]``."""
    array: str
    """Start of the names of the two arrays."""
    ids: AbsolutePath | None = None
    """Table of external ids and rows, separated by tabs; by default row r is the item r."""


class NeighbourConfig(NeighbourFile):
    """Settings of an .npz file with the nearest items of each item."""

    encoder: str = "neighbours"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""


class NeighbourEncoder:
    """Encoder of given nearest items as a modality in the graph of similar items."""

    Config: ClassVar[type[FeatureConfig]] = NeighbourConfig

    def __init__(self, config: NeighbourFile) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> GivenNeighbours:
        """Read the lists of nearest items.

        Raises:
            DataError: a file cannot be read, or does not hold such lists of these items.
        """
        config = self.config
        neighbours = read_neighbours(config.path, config.array, item_ids, ids=config.ids)
        present = np.any(neighbours.items >= 0, axis=1)
        return GivenNeighbours(np.zeros((len(item_ids), 0), np.float32), present, neighbours)
