"""Fusion after messages, of scores, samples and models, against loops over users and items."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Features
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from tests.graphs.dense import Dense, normalised_adjacency
from tests.models.cases import Case, World, batch_of, scores_of, train_briefly
from tests.models.flagship import (
    NAME,
    built,
    literal_passed,
    literal_similar,
    shaken,
    small_world,
)
from tests.nn.fusion.literal import LITERAL

NAMES = ("audio", "image", "text", "id")
SHARES = {"audio": 1.0, "image": 0.5, "text": 0.0, "id": 2.0}


@pytest.fixture
def world() -> World:
    return small_world()


def literal_starts(world: World, state: dict[str, Dense]) -> list[dict[str, Dense]]:
    """Where each item starts, in the views that it has."""
    rows = []
    for item in range(world.train.num_items):
        own = {
            name: state[f"content.projections.{m}.weight"] @ world.features[name].values[item]
            + state[f"content.projections.{m}.bias"]
            for m, name in enumerate(sorted(world.features))
            if world.features[name].present[item]
        }
        if item in world.train.items:
            own["id"] = state["items"][item]
        rows.append(own or dict.fromkeys(NAMES, state["nothing"][0]))
    return rows


def literal_views(
    world: World, state: dict[str, Dense], where: str, backbone: str, similar: Dense | None = None
) -> tuple[dict[str, Dense], dict[str, Dense], list[set[str]]]:
    """Final users and items by view, and which views each item has."""
    starts, users = literal_starts(world, state), state["users"]
    users_of, items_of = {}, {}
    for v, name in enumerate(NAMES):
        own = users if where == "sample" else users[:, 8 * v : 8 * (v + 1)]
        items = np.stack([each.get(name, np.zeros(8)) for each in starts])
        layers = {
            key.removeprefix(f"layers.{v}."): value
            for key, value in state.items()
            if where == "sample" or key.startswith(f"layers.{v}.")
        }
        layers = {f"layers.{key.removeprefix('layers.')}": value for key, value in layers.items()}
        a_hat = normalised_adjacency(world.train)
        nodes = literal_passed(a_hat, np.concatenate([own, items]), layers, backbone)
        users_of[name], items_of[name] = nodes[: len(own)], nodes[len(own) :]
        if similar is not None:
            items_of[name] = items_of[name] + similar @ items
    return users_of, items_of, [set(each) for each in starts]


def literal_weights(
    kind: str, shown: set[str], free: Dense, state: dict[str, Dense]
) -> Mapping[str, float]:
    """w_uiv of one pair."""
    if kind == "weighted":
        total = sum(SHARES[name] for name in shown)
        return {name: SHARES[name] / total if total else 0.0 for name in shown}
    if kind == "learned":
        powers = {name: np.exp(state["late.logits"][NAMES.index(name)]) for name in shown}
        return {name: power / sum(powers.values()) for name, power in powers.items()}
    if kind == "user":
        powers = np.exp(free @ state["late.weights"])
        alpha = powers / powers.sum()
        return {name: alpha[NAMES.index(name)] * len(NAMES) / len(shown) for name in shown}
    return dict.fromkeys(shown, 1 / len(shown))


def literal_scores(
    views: tuple[dict[str, Dense], dict[str, Dense], list[set[str]]],
    kind: str,
    state: dict[str, Dense],
    cosine: bool = False,
) -> Dense:
    """Score by score."""
    users_of, items_of, shown = views
    result = np.zeros((len(users_of["id"]), len(shown)))
    for u, i in np.ndindex(result.shape):
        weights = literal_weights(kind, shown[i], state["users"][u], state)
        for name, weight in weights.items():
            x, y = users_of[name][u], items_of[name][i]
            norm = np.linalg.norm(x) * np.linalg.norm(y) if cosine else 1.0
            result[u, i] += weight * (x @ y) / norm
    return result


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat", "none"])
@pytest.mark.parametrize("where", ["late", "sample", "model"])
def test_scores_of_views_are_averaged(world: World, where: str, backbone: str) -> None:
    model = built(world, where=where, backbone=backbone).eval()
    state = shaken(model)
    expected = literal_scores(literal_views(world, state, where, backbone), "mean", state)
    np.testing.assert_allclose(scores_of(model.double(), world), expected, atol=1e-7)


@pytest.mark.parametrize("kind", ["weighted", "learned", "user"])
@pytest.mark.parametrize("cosine", [False, True])
def test_scores_of_views_are_weighed(world: World, kind: str, cosine: bool) -> None:
    more: dict[str, Json] = {"view_weights": dict(SHARES)} if kind == "weighted" else {}
    model = built(world, where="late", late=kind, normalize=cosine, **more).eval()
    state = shaken(model)
    views = literal_views(world, state, "late", "lightgcn")
    expected = literal_scores(views, kind, state, cosine)
    np.testing.assert_allclose(scores_of(model.double(), world), expected, atol=1e-7)


def test_similar_items_are_added_within_each_view(world: World) -> None:
    model = built(world, where="late", item_layers=1, knn_k=3).eval()
    state = shaken(model)
    similar = literal_similar(world.features, dict.fromkeys(world.features, 1.0), k=3)
    views = literal_views(world, state, "late", "lightgcn", similar)
    expected = literal_scores(views, "mean", state)
    np.testing.assert_allclose(scores_of(model.double(), world), expected, atol=1e-6)


def test_views_vote_by_reciprocal_ranks(world: World) -> None:
    model = built(world, where="late", late="vote").eval()
    state = shaken(model)
    users_of, items_of, shown = literal_views(world, state, "late", "lightgcn")
    expected = np.zeros((world.train.num_users, len(shown)))
    for u, i in np.ndindex(expected.shape):
        for name in shown[i]:
            own = items_of[name] @ users_of[name][u]
            rivals = [j for j in range(len(shown)) if name in shown[j]]
            rank = 1 + sum(own[j] > own[i] for j in rivals)
            expected[u, i] += 1 / (60 + rank) / len(shown[i])
    np.testing.assert_allclose(scores_of(model.double(), world), expected, atol=1e-9)


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf"])
@pytest.mark.parametrize("fusion", ["attention", "sum", "concat", "self_attention"])
def test_views_are_fused_after_messages(world: World, fusion: str, backbone: str) -> None:
    model = built(world, where="middle", fusion=fusion, backbone=backbone).eval()
    state = shaken(model)
    users_of, items_of, shown = literal_views(world, state, "middle", backbone)
    contents = sorted(world.features)

    def fused(views: dict[str, Dense], row: int, known: set[str]) -> Dense:
        tokens = {m: views[name][row] for m, name in enumerate(contents) if name in known}
        vector = LITERAL[fusion](tokens, 3, state, "fusion.")[0] if tokens else 0.0
        return vector + (views["id"][row] if "id" in known else 0.0)

    users = [fused(users_of, u, set(NAMES)) for u in range(world.train.num_users)]
    items = [fused(items_of, i, known) for i, known in enumerate(shown)]
    expected = np.stack(users) @ np.stack(items).T
    np.testing.assert_allclose(scores_of(model.double(), world), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("where", "late"), [("sample", "mean"), ("model", "mean"), ("late", "vote")]
)
def test_each_view_has_a_loss_of_its_own(world: World, where: str, late: str) -> None:
    model = built(world, where=where, late=late, reg=0.0)
    state, batch = shaken(model), batch_of(world)
    views = literal_views(world, state, where, "lightgcn")
    users_of, items_of, shown = views
    sums, counts = dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0)
    for name in NAMES:
        for u, p, rivals in zip(*(each.tolist() for each in batch), strict=True):
            if name not in shown[p] or not any(name in shown[n] for n in rivals):
                continue
            counts[name] += 1
            for n in rivals:
                if name in shown[n]:
                    margin = users_of[name][u] @ (items_of[name][p] - items_of[name][n])
                    sums[name] += np.log1p(np.exp(-margin)) / len(rivals)
    found = {name: float(value.detach()) for name, value in model.double().loss(batch).items()}
    if where == "model":
        scores = literal_scores(views, "mean", state)
        margins = scores[batch.users, batch.pos][:, None] - scores[batch.users[:, None], batch.neg]
        expected = {f"bpr_{name}": sums[name] / counts[name] for name in NAMES}
        expected["bpr"] = np.log1p(np.exp(-margins)).mean()
    else:
        expected = {"bpr": sum(sums.values()) / sum(counts.values())}
    assert found == pytest.approx(expected, abs=1e-7)


def test_equal_attention_of_a_user_is_the_mean(world: World) -> None:
    start = [built(world, where="late", late=kind).eval() for kind in ("mean", "user", "learned")]
    mean, *others = (scores_of(model, world) for model in start)
    for other in others:
        torch.testing.assert_close(other, mean)


@pytest.mark.parametrize("late", ["learned", "user"])
def test_weights_of_views_learn(world: World, late: str) -> None:
    model = built(world, where="late", late=late)
    before = [each.clone() for each in model.late.parameters()]
    train_briefly(model, world, epochs=2)
    for old, new in zip(before, model.late.parameters(), strict=True):
        assert not torch.equal(old, new)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"late": "learned"}, "late has no effect on where = 'early'"),
        ({"where": "late", "fusion": "sum"}, "fusion has no effect on where = 'late'"),
        ({"where": "sample", "late": "user"}, "has nothing to learn from on where = 'sample'"),
        ({"where": "late", "late": "weighted"}, "view_weights belong together"),
        ({"where": "late", "view_weights": {"id": 1}}, "view_weights belong together"),
        (
            {"where": "late", "late": "weighted", "view_weights": {"id": 0}},
            "all of view_weights are 0",
        ),
        ({"where": "model", "modality_loss": 0.1}, "modality_loss is for where = 'early'"),
        ({"where": "nowhere"}, "where"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message) -> None:
    with pytest.raises(ValidationError, match=message):
        ModalityAttentionGCNConfig(name=NAME, **settings)


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        ([], {"where": "middle"}, "model.where needs 1 or more modalities"),
        (["text"], {"where": "late", "use_id": False}, "model.where needs 2 or more modalities"),
        (
            ["text"],
            {"where": "late", "late": "weighted", "view_weights": {"txet": 1, "id": 1}},
            r"no share for 'text'",
        ),
        (
            ["text"],
            {"where": "late", "late": "weighted", "view_weights": {"text": 1, "id": 1, "ide": 1}},
            r"unknown 'ide'. Did you mean 'id'\?",
        ),
    ],
)
def test_views_that_are_not_there_are_refused(
    world: World, names: list[str], settings: dict[str, Json], message: str
) -> None:
    features = Features({name: world.features[name] for name in names}, 12)
    inputs = replace(Case(NAME).inputs(world), features=features)
    with pytest.raises(ConfigError, match=message):
        ModalityAttentionGCN(
            ModalityAttentionGCNConfig.model_validate({"name": NAME, "dim": 8, **settings}), inputs
        )


def test_one_modality_beside_free_embeddings_makes_two_views(world: World) -> None:
    features = Features({"text": world.features["text"]}, 12)
    model = built(world, features, where="late")
    assert model.view_names == ("text", "id")
    assert model.embed()[0].shape == (world.train.num_users, 16)


def test_a_modality_can_be_hidden(world: World) -> None:
    model = built(world, where="late").eval()
    whole = scores_of(model, world)
    with model.content.without("text"):
        assert not torch.equal(scores_of(model, world), whole)
        left = model.attention()[~model.has_nothing.squeeze(1), model.names.index("text")]
        assert not left.any()
    assert torch.equal(scores_of(model, world), whole)
