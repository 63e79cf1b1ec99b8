"""Define the records for lists of the nearest items."""

from dataclasses import dataclass
from functools import cached_property

from graphrec.core.digest import digest
from graphrec.data.features import Modality
from graphrec.data.interactions import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar other items of each item, best first; ties go to the lower id.

    Shapes:
        items: ``[I, k]`` int32, -1 where candidates have run out.
        cosines: ``[I, k]`` float32, 0 where candidates have run out.
    """

    items: IntArray
    cosines: FloatArray


@dataclass(frozen=True, eq=False)
class GivenNeighbours(Modality):
    """Modality without values, ``[I, 0]``, that takes part in the graph of similar items only."""

    neighbours: "Neighbours"

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 of the lists."""
        return digest(self.neighbours.items, self.neighbours.cosines)
