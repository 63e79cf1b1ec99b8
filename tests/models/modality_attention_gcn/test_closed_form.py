"""The scores of EASE beside those that the flagship learns, against loops over users and items."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.data import Interactions
from graphrec.experiment.load import load_run
from graphrec.models import Inputs
from graphrec.models.modality_attention_gcn import closed_form
from graphrec.models.modality_attention_gcn.closed_form import Standard
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.explain import (
    gradient_contributions,
    linear_contributions,
    passes_linearly,
    with_closed_form,
)
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.nn import ease
from graphrec.nn.ease import EASESolver
from tests import flow
from tests.graphs.dense import Dense
from tests.models.cases import World, random_features, random_interactions, scores_of
from tests.models.flagship import NAME, built, shaken

Settings = dict[str, Json]
WITH_EASE: Settings = {
    "closed_form": "ease",
    "closed_form_weight": 0.7,
    "closed_form_reg": 2.5,
}
SIDES = [(9, 12), (14, 7)]
"""Users and items: EASE is solved on the side of users, or of items."""


def standardised(scores: torch.Tensor) -> torch.Tensor:
    return Standard.of(scores).apply(scores)


def world_of(num_users: int, num_items: int) -> World:
    """The last user and the last item have no interactions."""
    train = random_interactions(num_users, num_items, share=0.3, seed=4)
    return World(train, train, train, random_features(num_items, seed=4))


def literal_weights(train: Interactions, reg: float) -> Dense:
    """B of EASE, entry by entry."""
    x = train.matrix.toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + reg * np.eye(train.num_items))
    b = np.zeros_like(p)
    for j, i in np.ndindex(b.shape):
        b[j, i] = 0.0 if i == j else -p[j, i] / p[i, i]
    return b


def deviation(scores: Dense) -> tuple[float, float]:
    """Mean and population deviation over all items, in loops."""
    mean = sum(scores) / len(scores)
    return mean, (sum((each - mean) ** 2 for each in scores) / len(scores)) ** 0.5


def both(world: World, **settings: Json) -> tuple[ModalityAttentionGCN, ModalityAttentionGCN]:
    """Two models with the same learned weights, with EASE beside one of them."""
    alone, fused = built(world, **settings).eval(), built(world, **settings, **WITH_EASE).eval()
    shaken(alone)
    fused.load_state_dict(alone.state_dict())
    return alone, fused


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize(
    "settings", [{}, {"normalize": True}, {"where": "late", "late": "vote"}, {"backbone": "gat"}]
)
def test_scores_are_the_sum_of_both_in_deviations(
    shape: tuple[int, int], settings: Settings
) -> None:
    world = world_of(*shape)
    alone, fused = both(world, **settings)
    learned = scores_of(alone, world).double().numpy()
    exact = world.train.matrix.toarray() @ literal_weights(world.train, 2.5)
    found = scores_of(fused, world).numpy()
    assert found.dtype == np.float32
    for u in range(shape[0]):
        (mean, length), (others_mean, others) = deviation(learned[u]), deviation(exact[u])
        for i in range(shape[1]):
            expected = (learned[u, i] - mean) / length
            if others > 0:  # else the user has no items, as the last one, or lone ones
                expected += 0.7 * (exact[u, i] - others_mean) / others
            assert found[u, i] == pytest.approx(expected, abs=2e-4)
    assert not exact[-1].any()


def test_equal_scores_add_nothing() -> None:
    scores = torch.tensor([[0.1] * 7, [0.0] * 7, [1e6 + 0.1] * 7])
    assert not standardised(scores).any()
    uneven = standardised(torch.tensor([[1e-9, 2e-9, 3e-9]]))
    torch.testing.assert_close(uneven, torch.tensor([[-1.5, 0, 1.5]]) * (2 / 3) ** 0.5)


@pytest.mark.parametrize("shape", SIDES)
def test_a_user_whose_only_item_is_nobody_elses_hears_nothing(shape: tuple[int, int]) -> None:
    """On the side of users x_u B is a difference there, which leaves a rounding error."""
    train = world_of(*shape).train
    kept = train.select((train.users != 0) & (train.items != 2))
    users, items = (
        np.append(each, np.int32(one)) for each, one in ((kept.users, 0), (kept.items, 2))
    )
    train = Interactions(users, items, *shape)
    alone, fused = both(World(train, train, train, random_features(shape[1], seed=4)))
    users_of = torch.tensor([0])
    with torch.no_grad():
        assert torch.equal(fused.score(users_of), standardised(alone.score(users_of)))
        assert fused.closed is not None
        assert not fused.closed.scale(users_of).any()


def test_without_it_scores_are_those_of_before() -> None:
    world = world_of(9, 12)
    model = built(world, normalize=True).eval()
    shaken(model)
    assert model.closed is None
    assert model.ranks_by_products
    users, items = model.vectors()
    assert torch.equal(scores_of(model, world), users @ items.T)


def test_training_is_the_same_with_and_without_it() -> None:
    world = world_of(9, 12)
    alone, fused = both(world)
    assert alone.state_dict().keys() == fused.state_dict().keys()
    assert not fused.ranks_by_products
    assert fused.learns_by_products
    assert all(map(torch.equal, alone.vectors(), fused.vectors()))
    votes = built(world, where="late", late="vote", **WITH_EASE)
    assert not votes.learns_by_products


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize("rows", [1024, 2])
def test_weights_are_those_of_the_explicit_inverse(
    shape: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "BLOCK_ROWS", rows)
    train = random_interactions(*shape, share=0.3, seed=5)
    solver = EASESolver(train.matrix, 2.5)
    assert not solver.is_solved
    solver.solve()
    expected = literal_weights(train, 2.5)
    own = np.array([[0, 3, 5], [2, -1, -1]], np.int32)
    items = np.array([[0, 1, 2, 3], [6, 5, 2, 2]], np.int32)
    found = solver.weights_of(own, items)
    assert found.shape == (2, 4, 3)
    assert found.dtype == np.float32
    for b, k, n in np.ndindex(found.shape):
        wanted = 0.0 if own[b, n] < 0 else expected[own[b, n], items[b, k]]
        assert found[b, k, n] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize(
    "settings", [{}, {"normalize": True, "num_layers": 3}, {"where": "late", "late": "user"}]
)
def test_contributions_are_those_of_both_in_deviations(
    shape: tuple[int, int], settings: Settings
) -> None:
    world = world_of(*shape)
    alone, fused = both(world, **settings)
    assert passes_linearly(fused)
    users = np.array([0, 3, shape[0] - 1], np.int32)
    items = np.tile(np.arange(shape[1], dtype=np.int32), (3, 1))
    with torch.no_grad():
        before = linear_contributions(alone, world.train)
        assert with_closed_form(alone, before) is before
        own, learned = before(users, items)
        listed, found = with_closed_form(fused, linear_contributions(fused, world.train))(
            users, items
        )
    assert np.array_equal(own, listed)
    assert not found[np.broadcast_to(own[:, None] < 0, found.shape)].any()
    weights = literal_weights(world.train, 2.5)
    exact = world.train.matrix.toarray() @ weights
    scores, whole = scores_of(alone, world).double().numpy(), scores_of(fused, world).numpy()
    for row, u in enumerate(users.tolist()):
        (mean, length), (others_mean, others) = deviation(scores[u]), deviation(exact[u])
        mine = own[row][own[row] >= 0]
        for i in range(shape[1]):
            parts = learned[row, i, : len(mine)] / length
            rest = (scores[u, i] - learned[row, i].sum() - mean) / length  # of all other nodes
            if others > 0:
                parts = parts + 0.7 * weights[mine, i] / others
                rest -= 0.7 * others_mean / others
            np.testing.assert_allclose(found[row, i, : len(mine)], parts, atol=2e-4)
            assert found[row, i].sum() + rest == pytest.approx(whole[u, i], abs=5e-4)


def test_where_messages_are_not_linear_slopes_are_in_deviations_too() -> None:
    world = world_of(9, 12)
    alone, fused = both(world, backbone="gat")
    users, items = np.array([3], np.int32), np.arange(12, dtype=np.int32)[None]
    own, before = gradient_contributions(alone, world.train)(users, items)
    with torch.no_grad():
        _, found = with_closed_form(fused, gradient_contributions(fused, world.train))(users, items)
    weights = literal_weights(world.train, 2.5)
    length = deviation(scores_of(alone, world)[3].double().numpy())[1]
    others = deviation((world.train.matrix.toarray() @ weights)[3])[1]
    expected = before[0] / length + 0.7 * weights[own[0]].T / others
    np.testing.assert_allclose(found[0], expected, atol=2e-4)


def config_of(**settings: Json) -> ModalityAttentionGCNConfig:
    return ModalityAttentionGCNConfig.model_validate({"name": NAME, **settings})


@pytest.mark.parametrize(
    ("shape", "added"), [((40, 5), True), ((5, 40), True), ((5, 5), True), ((6, 6), False)]
)
def test_auto_follows_the_smaller_side_of_the_data_alone(
    shape: tuple[int, int], added: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "LARGEST", 5)
    one = np.zeros(1, np.int32)
    train = Interactions(one, one, *shape)
    assert closed_form.has_closed_form(config_of(), train) is added
    assert closed_form.has_closed_form(config_of(closed_form="ease"), train)
    assert not closed_form.has_closed_form(config_of(closed_form="none"), train)
    needs = list(ModalityAttentionGCN.needs(config_of(), Inputs(train, torch.Generator())))
    assert len(needs) == added
    if added:
        assert needs[0].num_bytes > 4 * min(shape) ** 2
        assert 'Set model.closed_form = "none"' in needs[0].remedy
        assert f"closed_form = 'auto' of {NAME} solves a dense matrix of 5 x 5" in needs[0].what


def test_the_limit_of_auto_is_what_the_setting_says() -> None:
    described = ModalityAttentionGCNConfig.model_fields["closed_form"].description
    assert described is not None
    assert f"{closed_form.LARGEST:,}" in described


@pytest.mark.parametrize("name", ["closed_form_weight", "closed_form_reg"])
def test_a_setting_of_scores_that_are_not_added_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"{name} has no effect on closed_form = 'none'"):
        config_of(closed_form="none", **{name: 3.0})


def test_an_experiment_of_before_keeps_its_identity() -> None:
    assert "closed_form" not in config_of(closed_form="none").identity()
    assert config_of().identity()["closed_form"] == "auto"


def test_a_penalty_too_small_for_float32_is_named() -> None:
    train = Interactions(
        np.repeat(np.arange(40, dtype=np.int32), 2), np.tile([0, 1], 40).astype(np.int32), 40, 3
    )
    world = World(train, train, train, random_features(3, seed=4))
    model = built(world, closed_form="ease", closed_form_reg=1e-30)
    with pytest.raises(ConfigError, match=r"model\.closed_form_reg = 1e-30 is too small.*Raise it"):
        model.scorer()


def test_it_is_solved_once_and_only_when_scores_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, solve = [], EASESolver.solve

    def counted(solver: EASESolver) -> None:
        calls.append(solver)
        solve(solver)

    monkeypatch.setattr(EASESolver, "solve", counted)
    world = world_of(9, 12)
    model = built(world, **WITH_EASE).eval()
    assert not calls
    first = scores_of(model, world)
    assert torch.equal(scores_of(model, world), first)
    assert len(calls) == 1


def test_a_loaded_run_has_the_scores_of_the_run() -> None:
    """The checkpoint holds nothing of EASE; it is solved again."""
    folder: Path = flow.finished(NAME)
    prepared, model = load_run(folder)
    assert isinstance(model, ModalityAttentionGCN)
    assert model.closed is not None
    train = prepared.split.train
    users = torch.arange(train.num_users)
    config = config_of(**{**model.config.model_dump(mode="json"), "closed_form": "none"})
    inputs = Inputs(train, torch.Generator(), prepared.features)
    alone = ModalityAttentionGCN(config, inputs).eval()
    alone.load_state_dict(model.state_dict())
    solver = EASESolver(train.matrix, 400.0)
    solver.solve()
    with torch.no_grad():
        expected = standardised(alone.score(users)) + 0.5 * standardised(solver.scores(users))
        torch.testing.assert_close(model.score(users), expected)
