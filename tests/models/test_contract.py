"""What every model must do. Each test names the bug, seen in a public toolkit, that it catches."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.config import TrainingConfig
from graphrec.datasets.interactions import Interactions
from graphrec.datasets.sampling import NegativeSampler, shuffled_batches
from graphrec.features import Features, Modality
from graphrec.models import MODELS, Batch, EmbeddingModel, Model
from graphrec.rng import stream_seed, torch_stream
from graphrec.training import fit
from tests.models.cases import (
    CPU,
    EVERY_CASE,
    EVERY_MODEL,
    TRAINED,
    Case,
    World,
    batch_of,
    checkerboard_world,
    free_rows,
    has_graph,
    path_world,
    planted_world,
    train_briefly,
)

every_case = pytest.mark.parametrize("case", EVERY_CASE, ids=str)
trained = pytest.mark.parametrize("case", TRAINED, ids=str)
multimodal = pytest.mark.parametrize(
    "case", [case for case in EVERY_CASE if case.model_class.uses_modalities], ids=str
)
embedding = pytest.mark.parametrize(
    "case", [case for case in EVERY_CASE if issubclass(case.model_class, EmbeddingModel)], ids=str
)


def scores_of(model: Model, world: World) -> Tensor:
    with torch.no_grad():
        return model.score(world.users)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal up to ``tolerance`` of the largest expected magnitude."""
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale, check_dtype=False)


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
    assert isinstance(model, EmbeddingModel)
    users, items = model.embed()
    assert len(users) == world.train.num_users
    assert len(items) == world.train.num_items
    assert users.shape[1:] == items.shape[1:]
    assert users.isfinite().all()
    assert items.isfinite().all()


@trained
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    """Elliot's LightGCN starts its tables at zero: every gradient is zero, and it never learns."""
    world = planted_world()
    model = case.build(world, more={"reg": 0.0, "num_layers": 2} if has_layers(case) else None)
    sum(model.loss(batch_of(world)).values(), torch.zeros(())).backward()
    parameters = dict(model.named_parameters())
    assert parameters
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def has_layers(case: Case) -> bool:
    return "num_layers" in case.model_class.Config.model_fields


@trained
def test_every_parameter_moves_in_training(case: Case) -> None:
    """A parameter made after the optimiser, or overwritten by propagation, stays where it was."""
    world = planted_world()
    model = case.build(world)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train_briefly(model, world, epochs=1, batch_size=512)
    for name, value in model.named_parameters():
        assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    "case", [case for case in EVERY_CASE if case.name != "popular"], ids=str
)
def test_checkerboard_is_solved(case: Case) -> None:
    """A wrong sign, shifted ids or swapped positives and negatives: loss falls, ranking is noise.

    Train and valid items are masked, so the one liked item left must be first for every user.
    """
    world = checkerboard_world()
    model = case.ready(world)
    if not model.closed_form:
        result = train_briefly(model, world, epochs=40)
        losses = [sum_losses(record) for record in result.history]
        assert losses[-1] < losses[0]
        model.eval()
    scores = scores_of(model, world)
    for seen in (world.train, world.valid):
        scores[seen.users, seen.items] = -torch.inf
    held_out = torch.empty(world.train.num_users, dtype=torch.long)
    held_out[world.test.users] = torch.from_numpy(world.test.items).long()
    assert (scores.argmax(dim=1) == held_out).all()


def sum_losses(record: dict[str, float]) -> float:
    return sum(value for name, value in record.items() if name.startswith("loss/"))


def test_popular_cannot_solve_the_checkerboard() -> None:
    """It has one list for everybody, while even and odd users need opposite ones.

    On the board every item is equally popular, so it can only give every item the same score.
    """
    world = checkerboard_world()
    scores = scores_of(Case("popular").ready(world), world)
    assert (scores == scores[0, 0]).all()


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@embedding
def test_a_vector_moves_its_neighbours_and_nobody_else(case: Case, num_layers: int) -> None:
    """LensKit's LightGCN passes edges one way only: every weight is 0 and the graph is dead.

    Moving the own vector of one node must move exactly the nodes at most L hops away; without a
    graph, nobody but itself.
    """
    world = path_world()
    model = case.ready(world, more={"num_layers": num_layers} if has_layers(case) else {})
    assert isinstance(model, EmbeddingModel)
    users, length = world.train.num_users, 2 * world.train.num_users
    place = torch.empty(length)  # along the path: user 0, item 0, user 1, item 1, ...
    place[:users], place[users:] = torch.arange(users) * 2, torch.arange(users) * 2 + 1
    hops = (place[:, None] - place[None, :]).abs()
    reach = num_layers if has_graph(model) else 0
    before = torch.cat(model.embed()).detach()
    for table, first in free_rows(model):
        for row in range(len(table)):
            kept = table.data[row].clone()
            table.data[row] += torch.linspace(1, 2, table.shape[1])
            moved = (torch.cat(model.embed()).detach() - before).abs().amax(dim=1) > 1e-6
            table.data[row] = kept
            assert moved.tolist() == (hops[first + row] <= reach).tolist()


@multimodal
def test_content_travels_along_the_graph(case: Case) -> None:
    """Content that enters after message passing teaches nothing about the users."""
    world = path_world()
    image = world.features["image"]
    item = int(np.flatnonzero(image.present)[0])
    values = image.values.copy()
    values[item] += 1.0
    changed = Features({**world.features, "image": Modality(values, image.present)}, len(values))
    users, _ = embed(case.ready(world, more={"num_layers": 1}))
    moved, _ = embed(case.ready(world, more={"num_layers": 1}, features=changed))
    neighbours = world.train.users[world.train.items == item]
    assert np.flatnonzero((users != moved).any(dim=1)).tolist() == sorted(neighbours.tolist())


def embed(model: Model) -> tuple[Tensor, Tensor]:
    assert isinstance(model, EmbeddingModel)
    with torch.no_grad():
        return model.embed()


@multimodal
def test_permuting_features_changes_scores(case: Case) -> None:
    """MMRec keys its item graph by the number of neighbours only: new features, old graph."""
    world = planted_world()
    order = np.roll(np.arange(world.train.num_items), 1)
    rolled = Features(
        {name: Modality(m.values[order], m.present[order]) for name, m in world.features.items()},
        world.train.num_items,
    )
    original = scores_of(case.ready(world), world)
    permuted = scores_of(case.ready(world, features=rolled), world)
    assert (original - permuted).abs().max() > 1e-3


@multimodal
def test_values_of_missing_items_change_nothing(case: Case) -> None:
    """Zero rows that stand for missing content are read as if they were content (WarpRec, MMRec)."""
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
    nobody = Modality(
        world.features[empty].values, np.zeros(world.train.num_items, dtype=np.bool_)
    )
    features = Features({**world.features, empty: nobody}, world.train.num_items)
    model = case.build(world, features=features)
    train_briefly(model, world, epochs=1, batch_size=128)
    assert scores_of(model.eval(), world).isfinite().all()


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


regularised = pytest.mark.parametrize(
    "case", [case for case in TRAINED if "reg" in case.model_class.Config.model_fields], ids=str
)


@regularised
def test_regularisation_is_linear_in_its_weight(case: Case) -> None:
    """A weight applied twice, or to some of the terms only, makes tuned values meaningless."""
    world = planted_world()
    batch = batch_of(world)
    once, thrice, never = (
        case.ready(world, more={"reg": reg}).loss(batch) for reg in (0.01, 0.03, 0.0)
    )
    assert thrice["reg"].item() == pytest.approx(3 * once["reg"].item(), rel=1e-5)
    assert once["reg"].item() > 0
    assert "reg" not in never
    for name, value in never.items():
        assert value.item() == once[name].item()


@every_case
def test_weights_and_config_restore_the_scores(case: Case) -> None:
    """A checkpoint that misses a table, or a config that does not survive JSON."""
    world = planted_world()
    model = case.ready(world)
    if not model.closed_form:
        train_briefly(model, world, epochs=1, batch_size=128)
        model.eval()
    config = case.build(world).config if hasattr(model, "config") else None
    if config is not None:
        again = type(config).model_validate(json.loads(config.model_dump_json()))
        assert again == config
    restored = case.build(world, seed=99)
    restored.load_state_dict(model.state_dict())
    restored.fit_exact()
    assert torch.equal(scores_of(restored.eval(), world), scores_of(model, world))


@trained
def test_two_steps_of_fit_equal_two_steps_by_hand(case: Case) -> None:
    """LensKit's LightGCN never calls zero_grad: the second step uses the sum of both gradients."""
    world = planted_world()
    config = TrainingConfig(
        lr=0.01, batch_size=(len(world.train) + 1) // 2, max_epochs=1, num_negatives=2
    )
    fitted, by_hand = case.build(world), case.build(world)
    fit(fitted, world.train, config, seed=3, device=CPU)
    adam_by_hand(by_hand, world.train, config, seed=3)
    for name, value in fitted.named_parameters():
        torch.testing.assert_close(value, by_hand.get_parameter(name), rtol=0, atol=1e-6, msg=name)


def adam_by_hand(model: Model, train: Interactions, config: TrainingConfig, seed: int) -> None:
    """One epoch of Adam written from its formula, with fresh gradients in every step."""
    sampler = NegativeSampler(train, config.negatives, CPU)
    negatives = torch_stream(seed, "negatives", 1)
    parameters = list(model.parameters())
    first = [torch.zeros_like(parameter) for parameter in parameters]
    second = [torch.zeros_like(parameter) for parameter in parameters]
    model.train()
    with torch.random.fork_rng([]):
        torch.manual_seed(stream_seed(seed, "layers", 1))
        batches = shuffled_batches(train, config.batch_size, torch_stream(seed, "order", 1), CPU)
        for step, (users, pos) in enumerate(batches, 1):
            batch = Batch(users, pos, sampler.sample(users, config.num_negatives, negatives))
            total = sum(model.loss(batch).values(), torch.zeros(()))
            gradients = torch.autograd.grad(total, parameters)
            with torch.no_grad():
                for parameter, g, m, v in zip(parameters, gradients, first, second, strict=True):
                    m.mul_(0.9).add_(0.1 * g)
                    v.mul_(0.999).add_(0.001 * g * g)
                    mean, square = m / (1 - 0.9**step), v / (1 - 0.999**step)
                    parameter -= config.lr * mean / (square.sqrt() + 1e-8)
    assert step == 2


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


@trained
def test_fit_leaves_the_model_ready_to_score(case: Case) -> None:
    """A model left in training mode ranks with dropout: every call gives other scores."""
    world = planted_world()
    model = case.build(world)
    train_briefly(model, world, epochs=1, batch_size=512)
    assert not model.training
    assert torch.equal(scores_of(model, world), scores_of(model, world))


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
