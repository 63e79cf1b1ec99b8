"""How every multimodal model must read content. Each test names the bug that it catches."""

import numpy as np
import pytest
import torch

from graphrec.data import Features, Modality
from tests.models.cases import (
    EVERY_CASE,
    Case,
    content_reaches_users,
    embed,
    has_layers,
    path_world,
    planted_world,
    scores_of,
    train_briefly,
)

multimodal = pytest.mark.parametrize(
    "case", [case for case in EVERY_CASE if case.model_class.uses_modalities], ids=str
)


@multimodal
def test_content_travels_along_the_graph(case: Case) -> None:
    """Content that enters after message passing teaches nothing about the users."""
    world = path_world()
    image = world.features["image"]
    item = int(np.flatnonzero(image.present)[0])
    values = image.values.copy()
    values[item] += 1.0
    changed = Features({**world.features, "image": Modality(values, image.present)}, len(values))
    more = {"num_layers": 1} if has_layers(case) else {}
    users, _ = embed(case.ready(world, more=more))
    moved, _ = embed(case.ready(world, more=more, features=changed))
    neighbours = world.train.users[(world.train.items == item) & content_reaches_users(case)]
    assert np.flatnonzero((users != moved).any(dim=1)).tolist() == sorted(neighbours.tolist())


@multimodal
def test_permuting_features_changes_scores(case: Case) -> None:
    """MMRec keys its item graph by the number of neighbours only: new features, old graph."""
    world = planted_world()
    shuffled = {}
    for name, modality in world.features.items():  # the masks stay: the values must matter
        values = modality.values.copy()
        values[modality.present] = np.roll(values[modality.present], 1, axis=0)
        shuffled[name] = Modality(values, modality.present)
    rolled = Features(shuffled, world.train.num_items)
    original = scores_of(case.ready(world), world)
    permuted = scores_of(case.ready(world, features=rolled), world)
    assert (original - permuted).abs().max() > 1e-3


@multimodal
def test_values_of_missing_items_change_nothing(case: Case) -> None:
    """WarpRec and MMRec read the zero rows of missing content as if they were content."""
    world = planted_world()
    noisy = {}
    for name, modality in world.features.items():
        values = modality.values.copy()
        values[~modality.present] = 1e4
        noisy[name] = Modality(values, modality.present)
    features = Features(noisy, world.train.num_items)
    clean, filled = case.build(world), case.build(world, features=features)
    for model in (clean, filled):
        train_briefly(model, world, epochs=1, batch_size=128)
        model.eval()
    assert torch.equal(scores_of(clean, world), scores_of(filled, world))


@multimodal
@pytest.mark.parametrize("empty", ["image", "text"])
def test_a_modality_that_nobody_has_gives_no_nan(case: Case, empty: str) -> None:
    """A softmax over nothing but masked entries is 0/0."""
    world = planted_world()
    nobody = Modality(world.features[empty].values, np.zeros(world.train.num_items, dtype=np.bool_))
    features = Features({**world.features, empty: nobody}, world.train.num_items)
    model = case.build(world, features=features)
    train_briefly(model, world, epochs=1, batch_size=128)
    assert scores_of(model.eval(), world).isfinite().all()
