"""Lists of the nearest items, as records."""

from dataclasses import dataclass
from functools import cached_property

from graphrec.core.digest import digest
from graphrec.data.features import Modality
from graphrec.data.interactions import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar other items of each item, best first; of equal ones the lower id.

    Shapes:
        items: ``[I, k]`` int32, -1 where candidates have run out.
        cosines: ``[I, k]`` float32, 0 where candidates have run out.
    """

    items: IntArray
    cosines: FloatArray


@dataclass(frozen=True, eq=False)
class GivenNeighbours(Modality):
    """Has no values, ``[I, 0]``: it takes part in the graph of similar items only."""

    neighbours: "Neighbours"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the lists."""
        return digest(self.neighbours.items, self.neighbours.cosines)
