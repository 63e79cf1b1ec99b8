"""The flagship against loops over items: every fusion and backbone, with and without ids."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from graphrec.config import build_config
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Features, Modality
from graphrec.models import EmbeddingModel, Inputs
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.nn.fusion import FUSIONS
from tests.graphs.dense import normalised_adjacency
from tests.models.cases import (
    COLD_WITH_CONTENT,
    COLD_WITH_NOTHING,
    WARM_WITH_NOTHING,
    Case,
    World,
    batch_of,
    checkerboard_world,
    planted_world,
    random_features,
    train_briefly,
)
from tests.models.flagship import (
    NAME,
    built,
    given_neighbours,
    literal_items,
    literal_passed,
    literal_similar,
    shaken,
    small_world,
)


@pytest.fixture
def world() -> World:
    return small_world()


@pytest.mark.parametrize("use_id", [True, False])
@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat", "none"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_embeddings_follow_the_formula(
    world: World, fusion: str, backbone: str, use_id: bool
) -> None:
    case = Case(NAME, (("fusion", fusion), ("backbone", backbone), ("use_id", use_id)))
    model = case.ready(world)
    assert isinstance(model, EmbeddingModel)
    state = shaken(model)
    nodes = np.concatenate([state["users"], literal_items(world, state, fusion, use_id)])
    expected = literal_passed(normalised_adjacency(world.train), nodes, state, backbone)
    actual = torch.cat(model.double().embed()).detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.parametrize("backbone", ["lightgcn", "gat", "none"])
@pytest.mark.parametrize("item_layers", [1, 2])
def test_similar_items_are_added_to_the_final_item(
    world: World, item_layers: int, backbone: str
) -> None:
    shares = {"audio": 1.0, "image": 2.0, "text": 0.5}
    settings = (("item_layers", item_layers), ("knn_k", 3), ("knn_weights", shares))
    model = Case(NAME, (*settings, ("backbone", backbone))).ready(world)
    assert isinstance(model, EmbeddingModel)
    state = shaken(model)
    items = literal_items(world, state, "attention", True)
    nodes = np.concatenate([state["users"], items])
    expected = literal_passed(normalised_adjacency(world.train), nodes, state, backbone)
    similar = literal_similar(world.features, shares, k=3)
    expected[world.train.num_users :] += np.linalg.matrix_power(similar, item_layers) @ items
    np.testing.assert_allclose(torch.cat(model.embed()).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("backbone", ["lightgcn", "gat", "none"])
@pytest.mark.parametrize("terms", [{}, {"modality_loss": 0.3}, {"align": "mmd"}])
def test_where_nothing_is_fused_only_similar_items_have_content(
    world: World, backbone: str, terms: dict[str, Json]
) -> None:
    """The cold item, the last one, is a learned vector and what is similar to it."""
    model = built(world, where="graph", item_layers=1, knn_k=3, backbone=backbone, **terms)
    state = shaken(model)
    trained = world.train.item_degrees > 0
    assert not trained[-1]
    items = np.where(trained[:, None], state["items"], state["nothing"])
    nodes = np.concatenate([state["users"], items])
    expected = literal_passed(normalised_adjacency(world.train), nodes, state, backbone)
    shares = dict.fromkeys(world.features, 1.0)
    expected[world.train.num_users :] += literal_similar(world.features, shares, k=3) @ items
    np.testing.assert_allclose(torch.cat(model.embed()).detach(), expected, atol=1e-5)
    assert model.names == ()
    assert model.attention().shape == (12, 0)
    assert any("projections" in name for name in state) == bool(terms)


def test_given_neighbours_stand_in_for_a_modality(world: World) -> None:
    lists = Features({"image": given_neighbours(world)}, world.train.num_items)
    only_image = Features({"image": world.features["image"]}, world.train.num_items)
    graphs = []
    for features in (lists, only_image):
        model = Case(NAME, (("item_layers", 1), ("knn_k", 3))).build(world, features=features)
        assert isinstance(model, ModalityAttentionGCN)
        assert model.similar.graph is not None
        graphs.append(model.similar.graph.product(torch.eye(world.train.num_items)))
    assert torch.equal(*graphs)


def test_neighbours_that_nothing_reads_or_too_few_are_refused(world: World) -> None:
    features = Features({**world.features, "looks": given_neighbours(world)}, 12)
    with pytest.raises(ConfigError, match=r"\[features.looks\] holds neighbours, which nothing"):
        Case(NAME).build(world, features=features)
    with pytest.raises(ConfigError, match=r"holds 4 of each item, not k = 5"):
        Case(NAME, (("item_layers", 1), ("knn_k", 5))).build(world, features=features)


def test_similar_items_without_content_are_refused(world: World) -> None:
    inputs = replace(Case(NAME).inputs(world), features=None)
    with pytest.raises(ConfigError, match="item_layers needs item content"):
        ModalityAttentionGCN(ModalityAttentionGCNConfig(name=NAME, item_layers=1), inputs)


def test_a_user_starts_at_its_own_vector_and_its_content(world: World) -> None:
    train = world.train
    users = random_features(train.num_users, seed=6)
    inputs = Case(NAME).inputs(world)
    model = ModalityAttentionGCN(
        ModalityAttentionGCNConfig(name=NAME, dim=8), replace(inputs, user_features=users)
    )
    state = shaken(model)
    starts = []
    for user in range(train.num_users):
        row = state["users"][user]
        for m, name in enumerate(sorted(users)):
            if users[name].present[user]:
                weight = state[f"user_content.projections.{m}.weight"]
                bias = state[f"user_content.projections.{m}.bias"]
                row = row + weight @ users[name].values[user] + bias
        starts.append(row)
    nodes = np.concatenate([np.stack(starts), literal_items(world, state, "attention", True)])
    a_hat = normalised_adjacency(train)
    expected = (nodes + a_hat @ nodes + a_hat @ a_hat @ nodes) / 3
    actual = torch.cat(model.embed()).detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat", "none"])
def test_user_features_draw_after_everything_else(world: World, backbone: str) -> None:
    """All other weights start where they start without user features."""
    settings = (("backbone", backbone),)
    without = Case(NAME, settings).ready(world).state_dict()
    with_them = Case(NAME, settings, user_features=True).ready(world).state_dict()
    assert set(with_them) - set(without) == {
        "user_content.projections.0.weight",
        "user_content.projections.0.bias",
    }
    assert all(torch.equal(with_them[name], value) for name, value in without.items())


def test_regularisation_is_on_free_embeddings_only(world: World) -> None:
    batch = batch_of(world, num=2)
    for use_id in (True, False):
        model = Case(NAME, (("use_id", use_id), ("reg", 0.1))).ready(world)
        state = shaken(model)
        squares = 0.0
        for u, i, negatives in zip(*(part.tolist() for part in batch), strict=True):
            squares += state["users"][u] @ state["users"][u]
            for item in (i, *negatives) if use_id else ():
                squares += state["items"][item] @ state["items"][item]
        expected = 0.1 * squares / (2 * len(batch.users))
        assert model.loss(batch)["reg"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("where", "told"), [("early", True), ("late", False)])
def test_rows_that_set_items_without_one_apart_are_told(
    world: World, where: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    alike = Modality(
        np.ones((world.train.num_items, 3), dtype=np.float32), world.features["text"].present
    )
    assert not alike.present.all()
    alike.values[~alike.present] = 0.0
    features = Features({"text": alike, "image": world.features["image"]}, world.train.num_items)
    with caplog.at_level(logging.WARNING):
        Case(NAME, (("where", where),)).ready(replace(world, features=features))
    assert ("Features text: the mean of the rows is 100%" in caplog.text) == told


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat", "none"])
def test_a_cold_item_starts_at_its_content(backbone: str) -> None:
    """Its free embedding never learned anything: it must not be added as noise."""
    world = planted_world()
    model = Case(NAME, (("backbone", backbone),)).ready(world)
    assert isinstance(model, ModalityAttentionGCN)
    before = torch.cat(model.embed())
    for item in (COLD_WITH_CONTENT, COLD_WITH_NOTHING):
        model.items.data[item] = 100.0
    assert torch.equal(torch.cat(model.embed()), before)
    model.items.data[WARM_WITH_NOTHING] = 100.0
    assert not torch.equal(torch.cat(model.embed()), before)
    content = model.embed()[1][COLD_WITH_CONTENT]
    model.content.projections[0].bias.data += 1.0
    assert not torch.equal(model.embed()[1][COLD_WITH_CONTENT], content)


def test_a_cold_item_with_no_modality_starts_at_the_learned_vector() -> None:
    world = planted_world()
    model = Case(NAME).ready(world)
    assert isinstance(model, ModalityAttentionGCN)
    expected = model.nothing[0] / 3  # layer 0 of 0..2; it has no neighbours
    torch.testing.assert_close(model.embed()[1][COLD_WITH_NOTHING], expected)
    assert model.has_nothing.squeeze(1).nonzero().flatten().tolist() == [COLD_WITH_NOTHING]


@pytest.mark.parametrize(
    "fusion",
    [
        *("attention", "bilinear", "co_attention", "cross_attention", "gate", "mean"),
        *("self_attention", "sum", "weighted"),
    ],
)
def test_a_modality_that_nobody_has_is_as_good_as_absent(world: World, fusion: str) -> None:
    """Not so for concat, whose learned vector says "missing" for every item.

    The matrices of softmax_attention, cin and experts hold all modalities: ``LITERAL`` shows it.
    """
    last = sorted(world.features)[-1]
    gone = Modality(world.features[last].values, np.zeros(12, dtype=np.bool_))
    rest = {name: modality for name, modality in world.features.items() if name != last}
    case = Case(NAME, (("fusion", fusion),))
    with_it = case.ready(world, features=Features({**rest, last: gone}, 12))
    without = case.ready(world, features=Features(rest, 12))
    state = with_it.state_dict()
    per_modality = {"co_attention": "queries", "gate": "bias", "weighted": "logits"}
    if fusion in per_modality:
        key = f"fusion.{per_modality[fusion]}"
        state[key] = state[key][:-1]
    without.load_state_dict({name: state[name] for name in without.state_dict()})
    torch.testing.assert_close(without.score(world.users), with_it.score(world.users))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_attention_reports_a_weight_for_each_present_modality(world: World, fusion: str) -> None:
    model = Case(NAME, (("fusion", fusion),)).ready(world)
    assert isinstance(model, ModalityAttentionGCN)
    weights = model.attention()
    assert weights.shape == (12, 3)
    assert model.names == ("audio", "image", "text")
    assert torch.equal(weights > 0, model.content.present)
    if fusion not in ("gate", "sum"):
        sums = model.content.present.any(dim=1).float()
        torch.testing.assert_close(weights.sum(dim=1), sums)


def without_content(**settings: str | float | bool) -> ModalityAttentionGCN:
    config = ModalityAttentionGCNConfig.model_validate({"name": NAME, "dim": 8, **settings})
    inputs = Inputs(checkerboard_world().train, torch.Generator().manual_seed(0))
    return ModalityAttentionGCN(config, inputs)


def test_without_content_it_is_a_graph_model_that_solves_the_checkerboard() -> None:
    world = checkerboard_world()
    model = without_content()
    train_briefly(model, world, epochs=20)
    scores = model.eval().score(world.users).detach()
    for seen in (world.train, world.valid):
        scores[seen.users, seen.items] = -torch.inf
    assert scores[world.test.users].argmax(dim=1).tolist() == world.test.items.tolist()


def test_without_content_there_are_no_attention_weights() -> None:
    assert without_content().attention().shape == (checkerboard_world().train.num_items, 0)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[features\.NAME\] table or set model\.use_id = true"):
        without_content(use_id=False)


def test_an_unknown_fusion_is_refused_with_the_nearest_name() -> None:
    table = {"data": {"path": "x.csv"}, "model": {"name": NAME, "fusion": "atention"}}
    with pytest.raises(ConfigError, match=r"Unknown fusion 'atention'\. Did you mean 'attention'"):
        build_config(table)


def test_the_refusal_of_a_fusion_names_all_of_them() -> None:
    with pytest.raises(ValidationError) as refusal:
        ModalityAttentionGCNConfig(name=NAME, fusion="transformer")
    assert f"Known: {', '.join(sorted(FUSIONS))}." in str(refusal.value)


def test_dropout_without_the_backbone_that_reads_it_is_refused() -> None:
    """The lightgcn backbone has no dropout: a search over it would tune nothing."""
    table = {"data": {"path": "x.csv"}, "model": {"name": NAME, "dropout": 0.3}}
    with pytest.raises(ConfigError, match="dropout"):
        build_config(table)
    build_config({**table, "model": {**table["model"], "backbone": "ngcf"}})
