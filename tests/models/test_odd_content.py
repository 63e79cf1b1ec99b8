"""Content at its extremes: the flagship trains on it and its scores stay finite."""

from collections.abc import Callable

import numpy as np
import pytest

from graphrec.data import Features, Modality
from graphrec.nn.fusion import FUSIONS
from tests.models.cases import PLACES, Case, scores_of, train_briefly
from tests.models.flagship import NAME, small_world

EVERY_FUSION = [*((("fusion", fusion),) for fusion in FUSIONS), *PLACES]


def one_item(image: Modality) -> Modality:
    """All others lack it."""
    present = np.zeros_like(image.present)
    present[0] = True
    return Modality(image.values * present[:, None], present)


def wide(width: int) -> Callable[[Modality], Modality]:
    """Random values of this width."""

    def made(image: Modality) -> Modality:
        values = np.random.default_rng(0).normal(size=(len(image.values), width))
        return Modality((values * image.present[:, None]).astype(np.float32), image.present)

    made.__name__ = f"width_{width}"
    return made


def constant(image: Modality) -> Modality:
    """The same row for all."""
    return Modality(np.full_like(image.values, 3.0) * image.present[:, None], image.present)


def zero(image: Modality) -> Modality:
    """Present, and zero: no direction, so no cosine."""
    return Modality(np.zeros_like(image.values), image.present)


@pytest.mark.parametrize("settings", EVERY_FUSION, ids=lambda pairs: "-".join(map(str, pairs)))
@pytest.mark.parametrize(
    "change", [one_item, wide(1), wide(10_000), constant, zero], ids=lambda each: each.__name__
)
def test_scores_stay_finite(settings, change: Callable[[Modality], Modality]) -> None:
    world = small_world()
    image = change(world.features["image"])
    features = Features({**world.features, "image": image}, world.train.num_items)
    model = Case(NAME, settings).build(world, features=features)
    train_briefly(model, world, epochs=1, lr=1e-3)
    assert scores_of(model.eval(), world).isfinite().all()
