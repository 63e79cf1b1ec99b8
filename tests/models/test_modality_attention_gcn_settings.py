"""What the flagship leaves out in training, and which settings it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Features, Modality
from graphrec.data.neighbours import GivenNeighbours
from graphrec.graphs import nearest_items
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from tests.graphs.dense import normalised_adjacency
from tests.models.cases import (
    Case,
    World,
    batch_of,
)
from tests.models.flagship import (
    NAME,
    given_neighbours,
    literal_items,
    literal_passed,
    literal_similar,
    shaken,
    small_world,
)

GRAPH: dict[str, Json] = {"where": "graph", "item_layers": 1}


@pytest.fixture
def world() -> World:
    return small_world()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"knn_k": 5}, "knn_k has no effect while item_layers = 0"),
        ({"knn_weights": {"a": 1}}, "knn_weights has no effect"),
        ({"item_layers": 1, "backbone": "ngcf"}, "item_layers is for backbone = 'lightgcn'"),
        ({"backbone": "none", "num_layers": 3}, "num_layers has no effect on backbone = 'none'"),
        ({"backbone": "none", "edge_drop": 0.1}, "edge_drop has no effect on backbone = 'none'"),
        ({"heads": 2}, "heads has no effect on backbone = 'lightgcn'"),
        ({"dropout": 0.2, "backbone": "gat"}, "dropout has no effect on backbone = 'gat'"),
        ({"backbone": "gat", "heads": 3, "dim": 8}, "heads = 3 must divide dim = 8"),
        ({"backbone": "gat", "heads": 2, "num_layers": 0}, "heads has no effect while num_layers"),
        ({"backbone": "ngcf", "dropout": 0.2, "num_layers": 0}, "dropout has no effect while num"),
        ({"edge_drop": 0.1, "num_layers": 0}, "edge_drop has no effect while num_layers = 0"),
        ({"edge_drop_kind": "degree"}, "edge_drop_kind has no effect while edge_drop = 0"),
        ({"edge_drop": 1.0}, "edge_drop"),
        ({"feature_drop": -0.1}, "feature_drop"),
        ({"where": "graph"}, "where = 'graph' needs the graph of similar items: item_layers = 1"),
        (GRAPH | {"use_id": False}, "leaves items their free embeddings only; set use_id = true"),
        (GRAPH | {"fusion": "sum"}, "fusion has no effect on where = 'graph'"),
        (GRAPH | {"late": "user"}, "late has no effect on where = 'graph'"),
        (GRAPH | {"modality_dropout": 0.1}, "modality_dropout has no effect on where = 'graph'"),
        (GRAPH | {"feature_noise": 0.1}, "feature_noise has no effect on where = 'graph'"),
        (GRAPH | {"projection_l1": 0.1}, "projection_l1 has no effect on where = 'graph' without"),
        (GRAPH | {"backbone": "ngcf"}, "item_layers is for backbone"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message) -> None:
    with pytest.raises(ValidationError, match=message):
        ModalityAttentionGCNConfig(name=NAME, **settings)


@pytest.mark.parametrize(
    ("settings", "names", "message"),
    [
        ({"feature_drop": 0.1}, [], r"feature_drop needs 1 or more .* there are 0"),
        ({"modality_dropout": 0.1}, [], r"modality_dropout needs 2 or more .* there are 0"),
        ({"modality_dropout": 0.1}, ["text"], r"modality_dropout needs 2 or more .* there are 1"),
        ({"edge_drop": 0.001}, [], r"edge_drop = 0.001 drops 0 of \d+ edges"),
    ],
)
def test_augmentation_without_anything_to_leave_out_is_refused(
    world: World, settings, names: list[str], message: str
) -> None:
    features = Features({name: world.features[name] for name in names}, 12)
    inputs = replace(Case(NAME).inputs(world), features=features)
    with pytest.raises(ConfigError, match=message):
        ModalityAttentionGCN(ModalityAttentionGCNConfig(name=NAME, dim=8, **settings), inputs)


def test_lists_of_neighbours_are_no_columns_to_mask(world: World) -> None:
    features = Features({"image": given_neighbours(world)}, 12)
    for settings in ((("feature_drop", 0.1),), (("use_id", False),)):
        with pytest.raises(ConfigError, match=r"Add a \[features\.NAME\] table"):
            Case(NAME, (*settings, ("item_layers", 1), ("knn_k", 3))).build(
                world, features=features
            )


@pytest.mark.parametrize("kind", ["uniform", "degree"])
@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat"])
def test_training_passes_messages_over_a_part_of_the_edges(
    world: World, backbone: str, kind: str
) -> None:
    """The kept ones have the smallest waiting times; the pairs of the world are in order."""
    settings = (("backbone", backbone), ("edge_drop", 0.4), ("edge_drop_kind", kind))
    model, train = Case(NAME, settings).build(world), world.train
    assert isinstance(model, ModalityAttentionGCN)
    state = shaken(model)
    nodes = np.concatenate([state["users"], literal_items(world, state, "attention", True)])
    whole = literal_passed(normalised_adjacency(world.train), nodes, state, backbone)
    np.testing.assert_allclose(torch.cat(model.embed()).detach(), whole, atol=1e-5)
    for seed in (0, 1):
        model.train().begin_epoch(torch.Generator().manual_seed(seed))
        keys = torch.empty(len(train)).exponential_(generator=torch.Generator().manual_seed(seed))
        if kind == "degree":
            degrees = train.user_degrees[train.users] * train.item_degrees[train.items]
            keys *= torch.from_numpy(np.sqrt(degrees))
        kept = train.select(keys.argsort()[: len(train) - round(0.4 * len(train))].numpy())
        part = literal_passed(normalised_adjacency(kept), nodes, state, backbone)
        np.testing.assert_allclose(torch.cat(model.embed()).detach(), part, atol=1e-5)
        np.testing.assert_allclose(torch.cat(model.eval().embed()).detach(), whole, atol=1e-5)


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat"])
def test_a_drawn_graph_has_the_kernels_and_the_precision_of_the_whole_one(
    world: World, backbone: str
) -> None:
    case = Case(NAME, (("backbone", backbone), ("edge_drop", 0.4)))
    model = ModalityAttentionGCN(case.config(), case.inputs(world, backend="torch")).double()
    model.begin_epoch(torch.Generator().manual_seed(0))
    assert model.kept.backend == model.graph.backend == "torch"
    assert model.kept.scale.dtype == torch.float64
    assert {term.dtype for term in model.loss(batch_of(world)).values()} == {torch.float64}


def test_training_masks_the_columns_of_each_modality(world: World) -> None:
    model = Case(NAME, (("feature_drop", 0.4), ("backbone", "none"))).build(world)
    assert isinstance(model, ModalityAttentionGCN)
    state = shaken(model)
    model.begin_epoch(torch.Generator().manual_seed(5))
    rng, masked = torch.Generator().manual_seed(5), {}
    for name in sorted(world.features):
        modality = world.features[name]
        columns = torch.rand(modality.values.shape[1], generator=rng) >= 0.4
        masked[name] = Modality(
            modality.values * columns.numpy() / np.float32(0.6), modality.present
        )
    part = replace(world, features=Features(masked, 12))
    for current, training in ((part, True), (world, False)):
        expected = literal_items(current, state, "attention", True)
        actual = model.train(training).embed()[1].detach()
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_training_hides_modalities_in_each_step(world: World) -> None:
    model = Case(NAME, (("modality_dropout", 0.5), ("backbone", "none"))).build(world)
    assert isinstance(model, ModalityAttentionGCN)
    state, seen = shaken(model), set()
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            weights = model.train().attention()
            torch.manual_seed(seed)
            items = model.embed()[1].detach()
        present = (weights > 0).numpy()
        seen.add(present.tobytes())
        assert (present <= model.content.present.numpy()).all()
        assert (present.any(axis=1) == model.content.present.any(dim=1).numpy()).all()
        hidden = {
            name: Modality(world.features[name].values, present[:, m])
            for m, name in enumerate(model.names)
        }
        part = replace(world, features=Features(hidden, 12))
        np.testing.assert_allclose(items, literal_items(part, state, "attention", True), atol=1e-5)
    assert len(seen) == 5
    assert torch.equal(model.eval().attention() > 0, model.content.present)


def test_the_published_freedom_without_its_features(world: World) -> None:
    """Both lists are given: S mixes them .1 to .9 and acts on the free embeddings alone."""
    lists, rng = {}, np.random.default_rng(3)
    for name in ("image", "text"):
        values = rng.normal(size=(12, 4)).astype(np.float32)
        everyone = Modality(values, np.ones(12, dtype=np.bool_))
        found = nearest_items(everyone.values, everyone.present, 4)
        lists[name] = (everyone, GivenNeighbours(everyone.values[:, :0], everyone.present, found))
    shares = {"image": 0.1, "text": 0.9}
    settings = (
        ("item_layers", 1),
        ("knn_k", 3),
        ("knn_weights", shares),
        ("edge_drop", 0.8),
        ("edge_drop_kind", "degree"),
    )
    features = Features({name: given for name, (_, given) in lists.items()}, 12)
    model = Case(NAME, settings).ready(world, features=features)
    assert isinstance(model, ModalityAttentionGCN)
    assert not model.names
    state = shaken(model)
    trained = world.train.item_degrees > 0
    items = np.where(trained[:, None], state["items"], state["nothing"])
    nodes = np.concatenate([state["users"], items])
    expected = literal_passed(normalised_adjacency(world.train), nodes, state, "lightgcn")
    known = Features({name: everyone for name, (everyone, _) in lists.items()}, 12)
    expected[9:] += literal_similar(known, shares, k=3) @ items
    np.testing.assert_allclose(torch.cat(model.embed()).detach(), expected, atol=1e-5)


def settings(**given) -> ModalityAttentionGCNConfig:
    return ModalityAttentionGCNConfig.model_validate({"name": NAME, **given})


def test_with_all_modalities_settings_stay_as_they_are() -> None:
    own = settings(
        item_layers=1, knn_weights={"a": 1, "l": 2}, align="mmd", align_weight=0.3, feature_drop=0.1
    )
    assert own.restricted_to(["a", "b"], ["l"]) == own


def test_shares_of_modalities_that_are_gone_are_dropped() -> None:
    own = settings(
        item_layers=1,
        knn_weights={"a": 1, "b": 2, "l": 3},
        modality_loss=0.1,
        modality_weights={"a": 1, "b": 2},
    )
    left = own.restricted_to(["b"], ["l"])
    assert (left.knn_weights, left.modality_weights) == ({"b": 2, "l": 3}, {"b": 2})
    assert own.restricted_to([], ["l"]) == settings(item_layers=1, knn_weights={"l": 3})


def test_a_graph_of_modalities_without_a_share_is_dropped() -> None:
    own = settings(item_layers=1, knn_k=7, knn_weights={"a": 0, "b": 1})
    assert own.restricted_to(["a"], []) == settings()
    assert own.restricted_to(["b"], []) == settings(item_layers=1, knn_k=7, knn_weights={"b": 1})


def test_terms_that_need_two_modalities_are_dropped_with_one() -> None:
    own = settings(
        align="mmd", align_weight=0.3, modality_loss=0.2, balance="gradnorm", balance_alpha=0.5,
        modality_dropout=0.2, feature_noise=0.1,
    )  # fmt: skip
    assert own.restricted_to(["a"], []) == settings(modality_loss=0.2, feature_noise=0.1)
    contrast = settings(align="infonce", align_temperature=0.3)
    assert contrast.restricted_to(["a"], []) == contrast


def test_without_features_nothing_is_left_that_reads_them() -> None:
    own = settings(
        dim=16, item_layers=2, knn_edges="cosine", align="infonce", modality_loss=0.1,
        projection_l1=0.1, feature_noise=0.1, feature_mix=0.2, feature_drop=0.3,
    )  # fmt: skip
    assert own.restricted_to([], []) == settings(dim=16)
    with pytest.raises(ConfigError, match="leaves nothing to learn from without features"):
        settings(use_id=False).restricted_to([], ["l"])


def test_a_place_of_fusion_goes_with_what_belongs_to_it() -> None:
    shares = {"a": 1, "b": 2, "id": 3}
    own = settings(where="late", late="weighted", view_weights=shares)
    assert own.restricted_to(["a"], []) == settings(
        where="late", late="weighted", view_weights={"a": 1, "id": 3}
    )
    assert own.restricted_to([], []) == settings()
    without_ids = settings(where="sample", use_id=False)
    assert without_ids.restricted_to(["a"], []) == settings(use_id=False)


def test_without_similar_items_a_place_that_needs_them_goes_too() -> None:
    own = settings(**GRAPH, modality_loss=0.1, feature_noise=0.1, knn_weights={"a": 1, "l": 2})
    assert own.restricted_to(["a"], []) == settings(
        **GRAPH, modality_loss=0.1, feature_noise=0.1, knn_weights={"a": 1}
    )
    assert own.restricted_to([], ["l"]) == settings(**GRAPH, knn_weights={"l": 2})
    assert own.restricted_to([], []) == settings()


def test_every_reduction_can_be_built(world) -> None:
    own = settings(
        dim=4, item_layers=1, knn_k=2, align="infonce", modality_loss=0.1, modality_dropout=0.1
    )
    names = list(world.features)
    for count in range(len(names) + 1):
        left = own.restricted_to(names[:count], [])
        features = Features({name: world.features[name] for name in names[:count]}, 12)
        inputs = replace(Case(NAME).inputs(world), features=features)
        assert ModalityAttentionGCN(left, inputs).names == tuple(sorted(names[:count]))
