"""What every model must do. Each test names the bug that it catches, where known with its home."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.data import Features, Interactions, Modality
from graphrec.models import MODELS, Model, VectorModel
from tests.models.cases import (
    EVERY_CASE,
    EVERY_MODEL,
    Case,
    World,
    assert_close,
    batch_of,
    free_rows,
    has_graph,
    has_layers,
    path_world,
    planted_world,
    scores_of,
    similar_nodes,
    spread_by_design,
    train_briefly,
)

every_case = pytest.mark.parametrize("case", EVERY_CASE, ids=str)
embedding = pytest.mark.parametrize(
    "case", [case for case in EVERY_CASE if issubclass(case.model_class, VectorModel)], ids=str
)


@every_case
def test_scores_are_finite_and_have_one_column_per_item(case: Case) -> None:
    """Cold items or items without content that come out as NaN rank first or crash the ranking."""
    world = planted_world()
    model = case.ready(world)
    scores = scores_of(model, world)
    assert scores.shape == (world.train.num_users, world.train.num_items)
    assert scores.isfinite().all()
    assert_close(model.score(torch.tensor([7, 2, 7])), scores[[7, 2, 7]])


@embedding
def test_embed_gives_one_vector_per_user_and_item(case: Case) -> None:
    """Users and items cut from the node table at the wrong place: shapes still broadcast."""
    world = planted_world()
    model = case.ready(world)
    assert isinstance(model, VectorModel)
    users, items = model.embed()
    assert len(users) == world.train.num_users
    assert len(items) == world.train.num_items
    assert users.shape[1:] == items.shape[1:]
    assert users.isfinite().all()
    assert items.isfinite().all()


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@embedding
def test_a_vector_moves_its_neighbours_and_nobody_else(case: Case, num_layers: int) -> None:
    """LensKit's LightGCN passes edges one way only: every weight is 0 and the graph is dead.

    Moving the own vector of one node must move exactly the nodes at most L hops away, and the
    items to which a moved item is similar where the model has such a graph; without a graph,
    nobody but itself.
    """
    world = path_world()
    model = case.ready(world, more={"num_layers": num_layers} if has_layers(case) else {})
    assert isinstance(model, VectorModel)
    users, length = world.train.num_users, 2 * world.train.num_users
    place = torch.empty(length)  # along the path: user 0, item 0, user 1, item 1, ...
    place[:users], place[users:] = torch.arange(users) * 2, torch.arange(users) * 2 + 1
    hops = (place[:, None] - place[None, :]).abs()
    reach = num_layers if has_graph(model) else 0
    reached = (hops <= reach) | similar_nodes(model)
    reached |= spread_by_design(case.name, world)
    before = torch.cat(model.embed()).detach()
    for table, first in free_rows(model):
        for row in range(len(table)):
            kept = table.data[row].clone()
            table.data[row] += torch.linspace(1, 2, table.shape[1])
            moved = (torch.cat(model.embed()).detach() - before).abs().amax(dim=1) > 1e-6
            table.data[row] = kept
            assert moved.tolist() == reached[:, first + row].tolist(), (
                f"Row {row} of a table of {case.name} moves other nodes than those within "
                f"{reach} hops: a dead edge, or see spread_by_design in tests/models/cases.py"
            )


@every_case
def test_relabelling_users_and_items_permutes_scores(case: Case) -> None:
    """Scores that depend on ids: counts taken from the largest id, offsets off by one."""
    world = planted_world()
    rng = np.random.default_rng(0)
    users, items = rng.permutation(world.train.num_users), rng.permutation(world.train.num_items)
    model = case.ready(world)
    other = case.ready(relabelled(world, users, items))
    other.load_state_dict(relabelled_state(model, users, items))
    expected = torch.empty_like(scores_of(model, world))
    expected[np.ix_(users, items)] = scores_of(model, world)
    assert_close(scores_of(other, world), expected)


def relabelled(world: World, users: np.ndarray, items: np.ndarray) -> World:
    """Old id u becomes users[u], old id i becomes items[i]."""
    train = world.train
    renamed = Interactions(
        users[train.users].astype(np.int32),
        items[train.items].astype(np.int32),
        train.num_users,
        train.num_items,
        train.times,
        train.weights,
    )
    old = np.argsort(items)
    features = {n: Modality(m.values[old], m.present[old]) for n, m in world.features.items()}
    return World(renamed, world.valid, world.test, Features(features, train.num_items))


def relabelled_state(model: Model, users: np.ndarray, items: np.ndarray) -> dict[str, Tensor]:
    order = {
        "users": np.argsort(users),
        "items": np.argsort(items),
        "nodes": np.concatenate([np.argsort(users), len(users) + np.argsort(items)]),
    }
    state = model.state_dict()
    return {name: value[order[name]] if name in order else value for name, value in state.items()}


@every_case
def test_weights_and_config_restore_the_scores(case: Case) -> None:
    """A checkpoint that misses a table, or a config that does not survive JSON."""
    world = planted_world()
    model = case.ready(world)
    if not model.closed_form:
        train_briefly(model, world, epochs=1, batch_size=128)
        model.eval()
    config = case.config()
    again = type(config).model_validate(json.loads(config.model_dump_json()))
    assert again == config
    restored = case.model_class(again, case.inputs(world, seed=99))
    restored.load_state_dict(model.state_dict())
    restored.fit_exact()
    assert torch.equal(scores_of(restored.eval(), world), scores_of(model, world))


@every_case
def test_double_precision_agrees(case: Case) -> None:
    """Half-converted operators, and formulas that live from rounding."""
    world = planted_world()
    single, double = case.ready(world), case.build(world).double()
    double.fit_exact()
    expected = scores_of(double.eval(), world)
    assert_close(scores_of(single, world), expected.float(), 1e-4)
    if not single.closed_form:
        batch = batch_of(world)
        for name, value in double.loss(batch).items():
            assert value.dtype == torch.float64
            assert single.loss(batch)[name].item() == pytest.approx(value.item(), abs=1e-4)


@every_case
def test_the_seed_alone_decides_the_initial_weights(case: Case) -> None:
    """Weights drawn from the global generator change with whatever ran before."""
    world = planted_world()
    torch.manual_seed(1)
    first = case.build(world, seed=4).state_dict()
    torch.manual_seed(2)
    again = case.build(world, seed=4).state_dict()
    other = case.build(world, seed=5).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    if first:
        assert any(not torch.equal(first[name], other[name]) for name in first)


@every_case
def test_construction_leaves_the_global_generator_alone(case: Case) -> None:
    """One more layer would shift every later draw of code that has nothing to do with it."""
    before = torch.random.get_rng_state()
    case.build(planted_world())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("case", EVERY_MODEL, ids=str)
def test_each_table_entry_declares_what_it_is(case: Case) -> None:
    """A closed-form model handed to the optimiser fails late; a trained one must have a loss."""
    model = case.build(planted_world())
    assert isinstance(model, MODELS[case.name])
    if model.closed_form:
        assert not list(model.parameters())
        with pytest.raises(TypeError, match=rf"{type(model).__name__} is solved in closed form"):
            model.loss(batch_of(planted_world()))
    else:
        assert list(model.parameters())
