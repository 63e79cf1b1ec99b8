"""What stands behind recommendations, and the protocol of a model that can explain them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from graphrec.data import Interactions
from graphrec.data.interactions import FloatArray, IntArray
from graphrec.evaluation import Ranking
from graphrec.models.base import Model

NUM_NEIGHBOURS = 3
"""The user's items that are named for each recommendation."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What stands behind the lists of a ``Ranking`` of n users; where no item is, it means nothing.

    Attributes:
        attention: ``{modality: [n, K]}``; lists of neighbours have none.
        change: ``{modality: [n, K]}``.
        neighbours: items of the user ``[n, K, 3]``, largest positive contribution first, -1 where
            there are no more; None where nothing can be said.
        contributions: ``[n, K, 3]``, 0 where there are no more.
    """

    attention: dict[str, FloatArray]
    change: dict[str, FloatArray]
    neighbours: IntArray | None
    contributions: FloatArray | None


@runtime_checkable
class Explainable(Protocol):
    """A model that can explain its recommendations."""

    def explain(self, train: Interactions, ranking: Ranking, *, few: bool = False) -> Attribution:
        """Explain the lists of a ranking; the model is in evaluation mode.

        Args:
            few: the lists are few, so that what needs a gradient for each pair is computed, too.
        """
        ...


def attribute(
    model: Model, train: Interactions, ranking: Ranking, *, few: bool = False
) -> Attribution | None:
    """Explain recommendations of a model in evaluation mode; None if it cannot explain them."""
    return model.explain(train, ranking, few=few) if isinstance(model, Explainable) else None
