"""Why an item was recommended: changes, contributions and shares against models made anew."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.rng import torch_stream
from graphrec.data import Features, Modality, load, planted_pictures
from graphrec.data.catalog.planted_media import FACTORS, MEDIA
from graphrec.data.neighbours import GivenNeighbours, Neighbours
from graphrec.evaluation import Ranking, rank
from graphrec.models import Inputs
from graphrec.models.explanation import Attribution, attribute
from graphrec.models.modality_attention_gcn import explain as attribution
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.explain import (
    blocks_of,
    gradient_contributions,
    items_of,
    linear_contributions,
    passes_linearly,
    reach,
)
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.training import fit
from graphrec.training.config import TrainingConfig
from tests.graphs.dense import Dense, normalised_adjacency
from tests.models.cases import Case, World, scores_of
from tests.models.flagship import NAME, built, given_neighbours, shaken, small_world

Settings = dict[str, Json]
CHANGED: list[Settings] = [
    {},
    {"use_id": False, "normalize": True},
    {"fusion": "concat", "backbone": "ngcf"},
    {"backbone": "gat", "item_layers": 2, "knn_k": 3},
    {"where": "middle", "item_layers": 1, "knn_k": 3},
    {"where": "late"},
    {"where": "late", "late": "user", "normalize": True, "item_layers": 1, "knn_k": 3},
    {"where": "late", "late": "vote", "use_id": False},
    {"where": "graph", "item_layers": 1, "knn_k": 3, "align": "mmd"},
]
LINEAR: list[Settings] = [
    {},
    {"num_layers": 5},
    {"normalize": True, "num_layers": 3},
    {"where": "late", "late": "user", "normalize": True},
    {"where": "model", "late": "learned", "num_layers": 1},
    {"where": "sample", "use_id": False, "item_layers": 1, "knn_k": 3},
    {"where": "graph", "item_layers": 2, "knn_k": 3},
]


@pytest.fixture
def world() -> World:
    return small_world()


def everything(world: World) -> Ranking:
    """Every item for every user, in the order of the ids."""
    users, items = world.train.num_users, world.train.num_items
    listed = np.tile(np.arange(items, dtype=np.int32), (users, 1))
    return Ranking(np.arange(users, dtype=np.int32), listed, np.zeros(listed.shape, np.float32))


def explained(model: ModalityAttentionGCN, world: World, *, few: bool = False) -> Attribution:
    found = attribute(model, world.train, everything(world), few=few)
    assert found is not None
    return found


def none_of(modality: Modality) -> Modality:
    """The same modality, had no item any of it."""
    nobody = np.zeros_like(modality.present)
    if isinstance(modality, GivenNeighbours):
        items = np.full_like(modality.neighbours.items, -1)
        empty = Neighbours(items, np.zeros_like(modality.neighbours.cosines))
        return GivenNeighbours(modality.values, nobody, empty)
    return Modality(np.zeros_like(modality.values), nobody)


def had_none(model: ModalityAttentionGCN, features: Features, name: str) -> ModalityAttentionGCN:
    """A model with the same weights of a world in which no item has the modality."""
    changed = {each: none_of(x) if each == name else x for each, x in features.items()}
    other = built(small_world(), Features(changed, features.num_items), **settings_of(model))
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) in (([], []), (["nothing"], []))
    if missing:  # nobody had nothing before, so no vector was learned
        torch.nn.init.zeros_(other.nothing)
    return other.eval()


def settings_of(model: ModalityAttentionGCN) -> Settings:
    return model.config.model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize("settings", CHANGED)
def test_a_change_is_that_to_a_model_made_without_the_modality(
    world: World, settings: Settings
) -> None:
    model = built(world, **settings).eval()
    shaken(model)
    whole, found = scores_of(model, world), explained(model, world)
    assert set(found.change) == set(world.features)
    for name in world.features:
        expected = whole - scores_of(had_none(model, world.features, name), world)
        np.testing.assert_allclose(found.change[name], expected, atol=2e-6)
    assert torch.equal(scores_of(model, world), whole)


def test_lists_of_neighbours_have_a_change_and_no_attention(world: World) -> None:
    features = Features({**world.features, "looks": given_neighbours(world)}, 12)
    model = built(world, features, item_layers=1, knn_k=3).eval()
    shaken(model)
    found = explained(model, world)
    assert sorted(found.attention) == ["audio", "image", "text"]
    whole, other = scores_of(model, world), scores_of(had_none(model, features, "looks"), world)
    np.testing.assert_allclose(found.change["looks"], whole - other, atol=2e-6)
    assert np.abs(found.change["looks"]).max() > 1e-3


def test_without_any_neighbours_nothing_similar_is_added(world: World) -> None:
    lists = Features({"looks": given_neighbours(world)}, 12)
    model = built(world, lists, item_layers=1, knn_k=3, knn_weights={"looks": 2.0}).eval()
    plain = built(world, Features({}, 12)).eval()
    plain.load_state_dict(model.state_dict())
    with model.without("looks"):
        torch.testing.assert_close(scores_of(model, world), scores_of(plain, world))


def test_modalities_are_hidden_together_and_come_back(world: World) -> None:
    model = built(world, item_layers=1, knn_k=3, use_id=False).eval()
    shaken(model)
    whole = scores_of(model, world)
    with model.without("text", "image"):
        both = scores_of(model, world)
    with model.without("text"), model.without("image"):
        assert torch.equal(scores_of(model, world), both)
    assert not torch.equal(both, whole)
    assert torch.equal(scores_of(model, world), whole)


def test_an_unknown_modality_cannot_be_hidden(world: World) -> None:
    model = built(world)
    with pytest.raises(ConfigError, match=r"'txet' to hide. Did you mean 'text'\? Known: audio,"):
        model.without("txet").__enter__()


def test_a_modality_that_weighs_nothing_changes_nothing(world: World) -> None:
    shares: Settings = {"view_weights": {"audio": 1, "image": 0, "text": 1, "id": 1}}
    model = built(world, where="late", late="weighted", **shares).eval()
    shaken(model)
    left_with_nothing = ~model.has_id.numpy()[:, 0] & ~model.content.present.numpy()[:, ::2].any(1)
    found = explained(model, world)
    assert not found.attention["image"].any()
    assert not found.change["image"][:, ~left_with_nothing].any()
    assert found.change["text"].any()


@pytest.mark.parametrize(
    "settings", [{}, {"fusion": "sum"}, {"where": "late"}, {"where": "late", "late": "user"}]
)
def test_a_modality_that_the_item_lacks_has_no_share(world: World, settings: Settings) -> None:
    model = built(world, backbone="none", **settings).eval()
    shaken(model)
    found = explained(model, world)
    total = np.zeros(found.change["text"].shape)
    for name, modality in world.features.items():
        assert not found.attention[name][:, ~modality.present].any()
        assert not found.change[name][:, ~modality.present].any()
        total += found.attention[name]
    anything = np.any([each.present for each in world.features.values()], axis=0)
    np.testing.assert_allclose(total[:, anything], 1, atol=1e-6)
    assert found.neighbours is None


def test_attention_of_a_user_is_shared_among_what_the_item_has(world: World) -> None:
    model = built(world, where="late", late="user").eval()
    state = shaken(model)
    found, names = explained(model, world), sorted(world.features)
    powers = np.exp(state["users"] @ state["late.weights"])[:, :3]
    for u, i in np.ndindex(found.attention["text"].shape):
        own = {n: powers[u, m] for m, n in enumerate(names) if world.features[n].present[i]}
        for name in names:
            expected = own[name] / sum(own.values()) if name in own else 0.0
            assert found.attention[name][u, i] == pytest.approx(expected, abs=1e-6)


# Contributions.


def literal_parts(model: ModalityAttentionGCN, world: World, u: int, i: int) -> Dense:
    """What each node adds to the score of a pair, ``[N]``: all users, then all items."""
    a_hat, layers = normalised_adjacency(world.train), model.config.num_layers
    a = sum(np.linalg.matrix_power(a_hat, step) for step in range(layers + 1)) / (layers + 1)
    starts = model.item_starts()[0].detach().double().numpy()
    width = starts.shape[2]
    users = model.users.detach().double().numpy().reshape(len(world.users), -1, width)
    users = np.broadcast_to(users, (len(users), *starts.shape[1:]))
    nodes = np.concatenate([users, starts])
    weights = np.ones(starts.shape[1])
    if model.late is not None and model.late.kind == "user":
        weights = model.late.user_weights(model.users)[u].detach().double().numpy()
    target = model.vectors()[1][i].detach().double().numpy().reshape(-1, width)
    parts = np.zeros(len(nodes))
    for view, weight in enumerate(weights):
        x = sum(a[u, node] * nodes[node, view] for node in range(len(nodes)))
        length = np.linalg.norm(x) if model.config.normalize else 1.0
        for node in range(len(nodes)):
            message = a[u, node] * nodes[node, view] @ target[view]
            parts[node] += weight / length * message
    return parts


@pytest.mark.parametrize("settings", LINEAR)
def test_contributions_and_the_rest_add_up_to_the_score(world: World, settings: Settings) -> None:
    model = built(world, **settings).eval()
    shaken(model)
    assert passes_linearly(model)
    scores = scores_of(model, world)
    with torch.no_grad():
        contributions = linear_contributions(model, world.train)
    users = np.array([0, 3, 8], np.int32)  # the last one has no items
    listed, all_parts = contributions(users, np.tile(np.arange(12, dtype=np.int32), (3, 1)))
    assert not all_parts[np.broadcast_to(listed[:, None] < 0, all_parts.shape)].any()
    for u, row, filled in zip(users.tolist(), all_parts, listed, strict=True):
        own, found = filled[filled >= 0], row[:, filled >= 0]
        assert own.tolist() == sorted(set(world.train.items[world.train.users == u].tolist()))
        for i in range(12):
            parts = literal_parts(model, world, u, i)
            assert parts.sum() == pytest.approx(float(scores[u, i]), abs=2e-5)
            np.testing.assert_allclose(found[i], parts[len(world.users) + own], atol=2e-6)


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4, 7])
def test_reach_is_the_mean_of_the_powers_of_the_graph(world: World, layers: int) -> None:
    a_hat = normalised_adjacency(world.train)
    a = sum(np.linalg.matrix_power(a_hat, step) for step in range(layers + 1)) / (layers + 1)
    users = np.arange(world.train.num_users, dtype=np.int32)
    own = items_of(world.train, users)
    expected = np.where(own >= 0, a[users[:, None], len(world.users) + own], 0)
    np.testing.assert_allclose(reach(world.train, layers)(users, own), expected, atol=1e-6)


def test_blocks_hold_every_user_once_and_no_more_than_fits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = np.array([5, 0, 3, 8, 1], np.int32)
    counts = world.train.user_degrees[users]
    assert [sorted(each) for each in blocks_of(world.train, users)] == [[0, 1, 2, 3, 4]]
    assert list(blocks_of(world.train, users[:0])) == []
    model = built(world, num_layers=3).eval()
    shaken(model)
    whole = explained(model, world)
    for numbers, most in ((1, 1), (10**6, 2)):
        monkeypatch.setattr(attribution, "BLOCK_NUMBERS", numbers)
        monkeypatch.setattr(attribution, "BLOCK_USERS", most)
        cut = list(blocks_of(world.train, users))
        assert max(map(len, cut)) <= most
        assert sorted(np.concatenate(cut)) == [0, 1, 2, 3, 4]
        assert (np.diff(counts[np.concatenate(cut)]) >= 0).all()
        found = explained(model, world)
        assert np.array_equal(found.neighbours, whole.neighbours)


def test_the_gradient_gives_the_same_where_messages_pass_linearly(world: World) -> None:
    model = built(world, where="late", late="user", normalize=True).eval()
    shaken(model)
    users, items = np.array([3, 8], np.int32), np.tile(np.arange(12, dtype=np.int32), (2, 1))
    with torch.no_grad():
        exact, other = (
            make(model, world.train)(users, items)[1]
            for make in (linear_contributions, gradient_contributions)
        )
    np.testing.assert_allclose(other, exact, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "ngcf"},
        {"backbone": "gat", "where": "late", "normalize": True},
        {"where": "middle", "normalize": True},
    ],
)
def test_elsewhere_a_contribution_is_the_slope_of_the_score(
    world: World, settings: Settings
) -> None:
    model = built(world, **settings).eval()
    shaken(model)
    model.double()
    assert not passes_linearly(model)
    with torch.no_grad():
        items = np.arange(12, dtype=np.int32)[None]
        (own,), (found,) = gradient_contributions(model, world.train)(
            np.array([3], np.int32), items
        )
        starts, step = model.item_starts()[0], 1e-6
        users, targets = model.vectors()
        width = model.propagate_to_users(starts).shape[2]
        heard = model.propagate_to_users(starts)[3].flatten()
        factor = (users[3].view(-1, width) / heard.view(-1, width)).mean(dim=1, keepdim=True)
        for place, item in enumerate(own.tolist()):
            more, less = starts.clone(), starts.clone()
            more[item] *= 1 + step
            less[item] *= 1 - step
            slope = (model.propagate_to_users(more)[3] - model.propagate_to_users(less)[3]) / (
                2 * step
            )
            expected = targets @ (factor * slope).flatten()
            np.testing.assert_allclose(found[:, place], expected, atol=1e-5)
    assert explained(model, world).neighbours is None
    assert explained(model, world, few=True).neighbours is not None


def test_the_largest_positive_contributions_are_named(world: World) -> None:
    model = built(world).eval()
    shaken(model)
    with torch.no_grad():
        contributions = linear_contributions(model, world.train)
    found = explained(model, world)
    assert found.neighbours is not None
    assert found.contributions is not None
    assert (found.neighbours < 0).any()
    for u, i in np.ndindex(found.neighbours.shape[:2]):
        (own,), ((parts,),) = contributions(np.array([u], np.int32), np.array([[i]], np.int32))
        pairs = sorted(zip(parts.tolist(), own.tolist(), strict=True), reverse=True)
        wanted = [(part, item) for part, item in pairs if part > 0][:3]
        shown = found.neighbours[u, i] >= 0
        assert found.neighbours[u, i][shown].tolist() == [item for _, item in wanted]
        assert found.contributions[u, i].tolist() == pytest.approx(
            [*(part for part, _ in wanted), 0, 0, 0][:3], abs=1e-6
        )


def test_votes_have_no_contributions(world: World) -> None:
    model = built(world, where="late", late="vote").eval()
    assert explained(model, world, few=True).neighbours is None


def test_other_models_are_not_explained(world: World) -> None:
    assert attribute(Case("mf").ready(world), world.train, everything(world)) is None


# Planted tastes.


class Planted(NamedTuple):
    """What is said of users who go by one modality each, by a model that learned their tastes.

    Shapes:
        attention, change, shown (whether the item has it), parts: ``[U, K, M]``. The score is the
        sum of the parts of the views.
    """

    attention: Dense
    change: Dense
    shown: npt.NDArray[np.bool_]
    parts: Dense

    @property
    def num(self) -> npt.NDArray[np.int64]:
        """How many modalities the item has, ``[U, K, 1]``."""
        return self.shown.sum(axis=2, keepdims=True)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    truth = planted_pictures(0, 200, 150, tmp_path_factory.mktemp("planted"), 20)
    dataset = load(truth.data)
    train, order = dataset.interactions, [int(each) for each in dataset.item_ids]
    rng, modalities = np.random.default_rng(0), {}
    for kind in MEDIA:
        shown = [np.eye(4)[truth.factors[f]] for f, (own, _) in FACTORS.items() if own == kind]
        values = np.concatenate(shown, axis=1)
        values = (values + 0.1 * rng.normal(size=values.shape)) * truth.present[kind][:, None]
        rows = values.astype(np.float32)[order]
        modalities[kind] = Modality(rows, truth.present[kind][order])
    settings: Settings = {"where": "late", "late": "user", "normalize": True, "use_id": False}
    settings |= {"name": NAME, "dim": 16, "loss": "softmax", "temperature": 0.1}
    settings["closed_form"] = "none"  # a change is a difference of the parts of learned scores
    config = ModalityAttentionGCNConfig.model_validate(settings)
    features = Features(modalities, train.num_items)
    model = ModalityAttentionGCN(config, Inputs(train, torch_stream(0, "init"), features))
    training = TrainingConfig(lr=0.02, batch_size=2048, max_epochs=25, num_negatives=8)
    fit(model, train, training, seed=0, device=torch.device("cpu"))
    users = np.arange(train.num_users)
    ranking = rank(model.eval().scorer(), users, (train,), 10, train.num_items)
    found = attribute(model, train, ranking)
    assert found is not None
    attention, change = (
        np.stack([each[name] for name in model.names], axis=2).astype(np.float64)
        for each in (found.attention, found.change)
    )
    with torch.no_grad():
        vectors, targets = (each.unflatten(1, (3, 16)).double() for each in model.vectors())
        parts = torch.einsum("uvd,ukvd->ukv", vectors, targets[ranking.items]).numpy()
    return Planted(attention, change, model.content.present.numpy()[ranking.items], parts)


def test_a_change_tells_how_far_a_part_is_above_the_mean(planted: Planted) -> None:
    """The score is a mean over the n views of an item, so it is (p_m - mean of p) n / (n - 1)."""
    above = planted.parts - planted.parts.sum(axis=2, keepdims=True) / planted.num
    expected = above * planted.num / np.maximum(planted.num - 1, 1)
    chosen = planted.shown & (planted.num > 1)
    np.testing.assert_allclose(planted.change[chosen], expected[chosen], atol=2e-6)
    assert not planted.change[~planted.shown].any()


def test_more_than_equal_attention_rather_means_a_positive_change(planted: Planted) -> None:
    """A part is attention times cosine. If cosines had nothing to do with attention, a part would
    rather be above the mean of the parts where attention is above its mean, but not always:
    positive in 74 % of these pairs, and in 24 % of those with less."""
    chosen = planted.shown & (planted.num > 1)
    more = chosen & (planted.attention > 1 / planted.num)
    less = chosen & (planted.attention < 1 / planted.num)
    assert (planted.change[more] > 0).mean() > 1 / 2
    assert (planted.change[less] > 0).mean() < 1 / 2


def test_most_attention_means_a_positive_change_unless_its_cosine_is_low(planted: Planted) -> None:
    """More than half of it, and 1 / (n - 1) of the best other cosine: without exception."""
    cosines = np.full(planted.parts.shape, -np.inf)
    np.divide(planted.parts, planted.attention, out=cosines, where=planted.shown)
    checked = 0
    for u, k, m in np.argwhere((planted.attention > 0.5) & (planted.num > 1)):
        others = np.delete(cosines[u, k], m).max()
        own = (planted.num[u, k, 0] - 1) * cosines[u, k, m]
        if own > 0 and own >= others:
            assert planted.change[u, k, m] > 0
            checked += 1
    assert checked > 100
