"""Replace modalities by controls: the same form, but no information about the items."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.core.rng import numpy_stream
from graphrec.data import Features, Modality
from graphrec.data.interactions import IntArray
from graphrec.data.neighbours import GivenNeighbours
from graphrec.features.content.pretrained import EncodedModality

Control = Literal["shuffled", "noise"]


def require_controlled(controls: Collection[str], names: Collection[str]) -> None:
    """Check the modalities under control against the ``[features.NAME]`` beside them.

    Raises:
        ValueError: there is no such modality.
    """
    for name in controls:
        if name not in names:
            known = f"Known: {', '.join(names)}" if names else "There is no [features.NAME] at all"
            raise ValueError(
                f"controls.{name}: there is no [features.{name}].{nearest(name, names)} {known}"
            )


Places = npt.NDArray[np.int64]


def controlled(features: Features, controls: Mapping[str, Control], seed: int) -> Features:
    """Replace modalities by controls; the same items P have them.

        shuffled   x_i <- x_p(i), p a permutation of P
        noise      x_if <- m_f + s_f z_if, with the mean m_f and deviation s_f of column f over P
                   and z_f a normal sample over P, scaled to mean 0 and deviation 1

    Lists of neighbours have no rows and are changed as follows:

        shuffled   list(p(i)) <- p(list(i)): the same graph between other items
        noise      as many items as in list(i), drawn without replacement from those in any list or
                   with one, and the same cosines

    Every modality has its own random stream, which follows from ``seed``, the seed of the run. So
    a result over several seeds does not depend on one permutation.

    Raises:
        ConfigError: a modality cannot be changed.
    """
    if not controls:
        return features
    result = dict(features)
    for name, control in controls.items():
        problem = why_fixed(features[name])
        if problem:
            raise ConfigError(
                f"controls.{name} = {control!r} cannot act on [features.{name}]: {problem}."
            )
        rng = numpy_stream(seed, f"controls/{name}")
        result[name] = _controlled(features[name], control, rng)
    return Features(result, features.num_items)


def why_fixed(modality: Modality) -> str:
    """Return the reason why the rows of a modality cannot be changed; empty if they can."""
    if isinstance(modality, EncodedModality) and modality.trainable is not None:
        return "its encoder is trained with the recommender (fine_tune)"
    if isinstance(modality.values, np.memmap):
        return "its matrix is larger than its memory_mb and lies on disk"
    return ""


def _controlled(modality: Modality, control: Control, rng: np.random.Generator) -> Modality:
    have = np.flatnonzero(modality.present)
    if isinstance(modality, GivenNeighbours):
        changed = _relabelled if control == "shuffled" else _random_neighbours
        return changed(modality, have, rng)
    values = modality.values.copy()
    if control == "shuffled":
        values[have] = values[rng.permutation(have)]
    else:
        for column in range(values.shape[1]):  # all at once would need several more matrices
            values[have, column] = _noise(values[have, column], rng)
    return Modality(values, modality.present)


def _noise(column: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw normal values with the mean and deviation of the column."""
    drawn = rng.standard_normal(len(column))
    drawn -= drawn.mean()
    scale = drawn.std()
    deviation = column.std(dtype=np.float64)
    return column.mean(dtype=np.float64) + drawn * (deviation / scale if scale else 0.0)


def _relabelled(lists: GivenNeighbours, have: Places, rng: np.random.Generator) -> GivenNeighbours:
    """Assign the list of item i to item p(i), with p(j) in place of each neighbour j."""
    new = np.arange(len(lists.present))
    new[have] = rng.permutation(have)
    items, cosines = np.full_like(lists.neighbours.items, -1), lists.neighbours.cosines.copy()
    old = lists.neighbours.items
    items[new] = np.where(old >= 0, new[old], -1)
    cosines[new] = lists.neighbours.cosines
    return _sorted(lists, items, cosines)


def _random_neighbours(
    lists: GivenNeighbours, have: Places, rng: np.random.Generator
) -> GivenNeighbours:
    """Replace every list by one of equal length, of items that are in the graph."""
    old = lists.neighbours.items
    known = np.union1d(have, old[old >= 0])
    items = np.full_like(old, -1)
    for item in have:
        count = int((old[item] >= 0).sum())
        others = known[known != item]
        items[item, :count] = rng.choice(others, count, replace=False)
    return _sorted(lists, items, lists.neighbours.cosines)


def _sorted(
    lists: GivenNeighbours, items: IntArray, cosines: npt.NDArray[np.float32]
) -> GivenNeighbours:
    """Sort the neighbours: best first, ties by the lower id, empty places last."""
    order = np.lexsort((items, np.where(items >= 0, -cosines, np.inf)))
    neighbours = replace(
        lists.neighbours,
        items=np.take_along_axis(items, order, axis=1),
        cosines=np.take_along_axis(cosines, order, axis=1),
    )
    return replace(lists, neighbours=neighbours)
