"""The joint embedding against its formula, and on content that has something in common."""

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Features, Modality
from graphrec.models import Batch
from graphrec.models.joint_embedding import JointEmbedding, JointEmbeddingConfig
from tests.models.cases import (
    COLD_WITH_CONTENT,
    COLD_WITH_NOTHING,
    WARM_WITH_NOTHING,
    Case,
    World,
    batch_of,
    embed,
    interactions_of,
    path_world,
    planted_world,
    random_features,
    scores_of,
    train_briefly,
)
from tests.nn.alignment import literal

Dense = np.ndarray


def built(world: World, **settings: Json) -> JointEmbedding:
    model = Case("joint_embedding").ready(world, more=settings)
    assert isinstance(model, JointEmbedding)
    for projection in model.projections:
        torch.nn.init.normal_(projection.bias, std=0.3)  # it starts at 0, which would hide it
    return model


def unit(vector: Dense) -> Dense:
    length = np.sqrt(sum(value * value for value in vector))
    return vector / length if length else vector


def literal_tokens(model: JointEmbedding, world: World) -> tuple[Dense, Dense]:
    """z_im entry by entry, and who has what."""
    num_items, names = world.train.num_items, sorted(world.features)
    tokens = np.zeros((num_items, len(names), model.config.dim))
    present = np.zeros((num_items, len(names)), dtype=np.bool_)
    for m, name in enumerate(names):
        weight = model.get_parameter(f"projections.{m}.weight").detach().double().numpy()
        bias = model.get_parameter(f"projections.{m}.bias").detach().double().numpy()
        for item in range(num_items):
            row = world.features[name].values[item].astype(np.float64)
            if world.features[name].present[item] and row.any():
                tokens[item, m], present[item, m] = unit(weight @ row + bias), True
    return tokens, present


def literal_vectors(model: JointEmbedding, world: World) -> tuple[Dense, Dense]:
    """Users and items."""
    tokens, present = literal_tokens(model, world)
    items = np.zeros((world.train.num_items, model.config.dim))
    for item in range(len(items)):
        own = [tokens[item, m] for m in range(tokens.shape[1]) if present[item, m]]
        if own:
            items[item] = unit(sum(own) / len(own))
    users = np.zeros((world.train.num_users, model.config.dim))
    for user, item in zip(world.train.users, world.train.items, strict=True):
        users[user] += items[item]
    return np.array([unit(user) for user in users]), items


@pytest.fixture(params=["planted", "path"])
def world(request: pytest.FixtureRequest) -> World:
    """Two modalities and items without any; three modalities with many gaps."""
    return planted_world() if request.param == "planted" else path_world()


# The formula.


def test_vectors_and_scores_written_out(world: World) -> None:
    model = built(world)
    users, items = literal_vectors(model, world)
    for found, expected in zip(embed(model), (users, items), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(scores_of(model, world).numpy(), users @ items.T, atol=1e-5)


@pytest.mark.parametrize("align", ["infonce", "mmd"])
def test_the_alignment_written_out(world: World, align: str) -> None:
    temperature: dict[str, Json] = {"align_temperature": 0.3} if align == "infonce" else {}
    model = built(world, align=align, **temperature)
    tokens, present = literal_tokens(model, world)
    wanted = literal.mmd(tokens, present)
    if align == "infonce":
        wanted = literal.infonce(tokens, present, 0.3)
    terms = model.loss(batch_of(world))
    assert list(terms) == [align]
    assert terms[align].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("loss", ["bpr", "softmax", "bce"])
def test_the_ranking_term_written_out(world: World, loss: str) -> None:
    """The profile that is asked to find an item does not hold it."""
    model = built(world, rank_weight=0.7, loss=loss, temperature=0.4)
    _, items = literal_vectors(model, world)
    batch = batch_of(world, num=2)
    pos, neg = [], []
    for user, positive, negatives in zip(*(part.tolist() for part in batch), strict=True):
        profile = np.zeros(model.config.dim)
        for item in world.train.items[world.train.users == user]:
            if item != positive:
                profile += items[item]
        profile = unit(profile)
        pos.append(profile @ items[positive])
        neg.append([profile @ items[negative] for negative in negatives])
    known = np.ones((len(pos), 2), dtype=np.bool_)
    wanted = literal.ranking(loss, np.array(pos), np.array(neg), known, 0.4)
    found = model.loss(batch)
    assert list(found) == ["infonce", loss]
    assert found[loss].item() == pytest.approx(0.7 * wanted, rel=1e-4)


def test_a_step_aligns_some_items_drawn_from_all() -> None:
    world = planted_world()
    model = built(world, align_items=6)
    tokens, present = literal_tokens(model, world)
    pool = np.flatnonzero(present.sum(axis=1) == 2)
    torch.manual_seed(5)
    found = model.loss(batch_of(world))["infonce"].item()
    torch.manual_seed(5)
    chosen = pool[torch.randperm(len(pool))[:6].numpy()]
    wanted = literal.infonce(tokens[chosen], present[chosen], 0.2)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_without_rank_weight_interactions_teach_the_items_nothing() -> None:
    world = planted_world()
    pairs = [(user, (7 * user + step) % 40) for user in range(60) for step in range(6)]
    other = World(interactions_of(pairs, 60, 40), world.valid, world.test, world.features)
    found = []
    for each in (world, other):
        model = Case("joint_embedding").build(each)
        for _ in range(3):
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            sum(model.loss(batch_of(each)).values(), torch.zeros(())).backward()
            optimizer.step()
        found.append(embed(model)[1])
    assert torch.equal(*found)


# Items and users about whom little is known.


def test_who_has_no_content_has_the_zero_vector_and_the_score_zero() -> None:
    world = planted_world()
    model = built(world)
    users, items = embed(model)
    scores = scores_of(model, world)
    for item in (COLD_WITH_NOTHING, WARM_WITH_NOTHING):
        assert not items[item].any()
        assert not scores[:, item].any()
    assert items[COLD_WITH_CONTENT].norm().item() == pytest.approx(1.0, abs=1e-5)
    assert scores[:, COLD_WITH_CONTENT].abs().min() > 0
    np.testing.assert_allclose(users.norm(dim=1).numpy(), 1.0, atol=1e-5)


def test_a_user_without_known_items_has_the_zero_vector() -> None:
    world = planted_world()
    pairs = [(0, WARM_WITH_NOTHING), (1, 0), (1, 6), (2, 4)]
    lonely = World(interactions_of(pairs, 4, 40), world.valid, world.test, world.features)
    users, _ = embed(built(lonely))
    assert users.norm(dim=1).round(decimals=5).tolist() == [0, 1, 1, 0]


def test_a_profile_of_nothing_but_the_positive_item_sends_no_gradient() -> None:
    """Alone: a profile of nothing scores 0, and teaches nothing."""
    world = planted_world()
    alone = World(interactions_of([(0, 4)], 1, 40), world.valid, world.test, world.features)
    model = built(alone, rank_weight=1.0)
    batch = Batch(torch.tensor([0]), torch.tensor([4]), torch.tensor([[6]]))
    loss = model.loss(batch)["bpr"]
    assert loss.item() == pytest.approx(np.log(2))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(not gradient.any() for gradient in gradients)


def test_a_profile_of_nothing_but_the_positive_item_leaves_the_gradients_of_others_alone() -> None:
    """Where x - x is scaled to length 1, its gradient is 1e12 times too large, in two parts that
    cancel; what other users teach the same item is rounded away beside them."""
    world = planted_world()
    pairs = [(0, 4), (1, 4), (1, 6), (1, 10)]
    few = World(interactions_of(pairs, 2, 40), world.valid, world.test, world.features)
    model = built(few, rank_weight=1.0)

    def gradients(*users: int) -> list[Tensor]:
        pos = [4, 6]
        batch = Batch(
            torch.tensor(users),
            torch.tensor([pos[user] for user in users]),
            torch.tensor([[12]] * len(users)),
        )
        return list(torch.autograd.grad(model.loss(batch)["bpr"], list(model.parameters())))

    for both, alone in zip(gradients(0, 1), gradients(1), strict=True):
        assert alone.any()
        torch.testing.assert_close(both, alone / 2)


def test_a_row_of_zeros_has_no_direction() -> None:
    """Its projection is the bias, which starts at 0: a direction that is made of rounding."""
    world = planted_world()
    values = world.features["text"].values.copy()
    values[4] = 0.0
    text = Modality(values, world.features["text"].present)
    features = Features({**world.features, "text": text}, 40)
    model = built(World(world.train, world.valid, world.test, features))
    assert world.features["text"].present[4]
    assert model.present[4].tolist() == [True, False]
    assert model.loss(batch_of(world))["infonce"].isfinite()


# What it learns.


def twins() -> Features:
    """Pictures and texts of one hidden vector per item: its class, and more that is its own."""
    rng = np.random.default_rng(0)
    hidden = 1.5 * rng.normal(size=(4, 6))[np.arange(40) % 4] + rng.normal(size=(40, 6))
    modalities = {}
    for name, width, lacks in (("image", 12, 5), ("text", 8, 7)):
        values = hidden @ rng.normal(size=(6, width)) + 0.2 * rng.normal(size=(40, width))
        present = np.arange(40) % lacks != 1
        modalities[name] = Modality((values * present[:, None]).astype(np.float32), present)
    return Features(modalities, 40)


def held_out_hits(scores: Tensor, world: World, k: int) -> float:
    for seen in (world.train, world.valid):
        scores[seen.users, seen.items] = -torch.inf
    best = scores.topk(k, dim=1).indices[world.test.users]
    return (
        (best == torch.from_numpy(world.test.items).unsqueeze(1)).any(dim=1).float().mean().item()
    )


def test_modalities_of_one_item_come_together_and_rank_better_than_popularity() -> None:
    base = planted_world()
    world = World(base.train, base.valid, base.test, twins())
    model = Case("joint_embedding").build(world)
    assert isinstance(model, JointEmbedding)
    gaps = []
    for epochs in (0, 40):
        if epochs:
            train_briefly(model, world, epochs, batch_size=128)
        with torch.no_grad():
            image, text = model.tokens()[model.present.all(dim=1)].unbind(dim=1)
        cosines = image @ text.T
        own = cosines.diagonal().mean()
        others = (cosines.sum() - cosines.diagonal().sum()) / (cosines.numel() - len(cosines))
        gaps.append((own - others).item())
        nearest = (cosines.argmax(dim=1) == torch.arange(len(cosines))).float().mean().item()
    assert abs(gaps[0]) < 0.2
    assert gaps[1] > 0.6
    assert nearest > 0.7
    popular = held_out_hits(scores_of(Case("popular").ready(world), world), world, 8)
    found = held_out_hits(scores_of(model.eval(), world), world, 8)
    assert found > 1.5 * popular


def test_cold_items_are_ranked_by_their_content() -> None:
    """Users like class ``u mod 4``; the cold item is of class 1."""
    world = planted_world()
    model = Case("joint_embedding").build(world)
    train_briefly(model, world, 20, batch_size=128)
    scores = scores_of(model.eval(), world)[:, COLD_WITH_CONTENT]
    fans = np.arange(60) % 4 == COLD_WITH_CONTENT % 4
    assert scores[fans].mean() > scores[~fans].mean() + 0.3


# Bad input.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"align": "mmd", "align_temperature": 0.5}, "align_temperature has no effect on align"),
        ({"loss": "bce"}, "loss has no effect while rank_weight = 0"),
        ({"temperature": 0.5}, "temperature has no effect while rank_weight = 0"),
        ({"align": "none"}, "infonce"),
        ({"align_items": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(
    settings: dict[str, Json], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        JointEmbeddingConfig.model_validate({"name": "joint_embedding", **settings})


def test_one_modality_has_none_to_agree_with() -> None:
    world = planted_world()
    features = Features({"image": world.features["image"]}, 40)
    with pytest.raises(ConfigError, match=r"needs two or more, but there are 1\. Add a \[features"):
        Case("joint_embedding").build(world, features=features)


def test_lists_of_neighbours_are_refused_by_name() -> None:
    world = planted_world()
    lists = Modality(np.zeros((40, 0), np.float32), np.ones(40, dtype=np.bool_))
    features = Features({**world.features, "looks": lists}, 40)
    with pytest.raises(ConfigError, match=r"\[features\.looks\] holds neighbours.*'spectral'"):
        Case("joint_embedding").build(world, features=features)


def test_nothing_to_contrast_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world = planted_world()
    halves = {
        name: Modality(each.values, np.arange(40) % 2 == side)
        for side, (name, each) in enumerate(random_features(40, 0).items())
        if name != "text"
    }
    with caplog.at_level(logging.WARNING):
        Case("joint_embedding").build(world, features=Features(halves, 40))
    assert "0 items have modalities that could agree" in caplog.text
