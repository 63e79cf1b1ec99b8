"""Small features with gaps, and planted ones in which one modality follows from two others."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from graphrec.data import Features, Interactions, Modality
from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.missing_modality import MissingModality
from tests.models.cases import random_features, random_interactions

Real = npt.NDArray[np.float64]


def world(num_items: int = 30) -> tuple[Features, Interactions]:
    """Audio [I, 3], image [I, 5] and text [I, 4] with gaps; the last items have no users.

    Item 0 has all modalities, item 1 none.
    """
    train = random_interactions(12, num_items, share=0.2, seed=3)
    train = train.select(train.items < num_items - 3)
    return random_features(num_items, seed=5), train


def planted(
    linear: bool, num_items: int = 240, width: int = 6, seed: int = 0
) -> tuple[Features, Interactions]:
    """``y`` is a function of what ``a`` and ``b`` show of three hidden numbers, up to noise."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(num_items, 3))
    rows = {name: hidden @ rng.normal(size=(3, size)) for name, size in (("a", 5), ("b", 4))}
    y = hidden @ rng.normal(size=(3, width))
    rows["y"] = y if linear else 5 + 3 * np.abs(y)
    everyone = np.ones(num_items, dtype=np.bool_)
    modalities = {
        name: Modality((x + 0.05 * rng.normal(size=x.shape)).astype(np.float32), everyone)
        for name, x in rows.items()
    }
    items = np.repeat(np.arange(num_items, dtype=np.int32), 2)
    users = rng.integers(0, 40, len(items)).astype(np.int32)
    return Features(modalities, num_items), Interactions(users, items, 40, num_items)


def gap_of(features: Features, train: Interactions, name: str) -> MissingModality:
    sources = {other: each for other, each in features.items() if other != name}
    return MissingModality(name, features[name], sources, train)


def changed(features: Features, name: str, items: npt.NDArray[np.int64], by: float) -> Features:
    """The rows of some items with ``by`` added."""
    values = features[name].values.copy()
    values[items] += np.float32(by)
    modality = Modality(values, features[name].present)
    return Features({**features, name: modality}, features.num_items)


def squared_error(
    truth: Mapping[str, Modality], filled: Mapping[str, Modality], name: str
) -> float:
    """Sum over all cells."""
    return float(np.square(truth[name].values - filled[name].values).sum())


def config(**settings: object) -> MissingConfig:
    return MissingConfig.model_validate(settings)
