"""How every trained model must learn. Each test names the bug that it catches."""

import pytest
import torch

from graphrec.core.rng import stream_seed, torch_stream
from graphrec.data import Interactions
from graphrec.models import Batch, Model
from graphrec.training import fit
from graphrec.training.config import TrainingConfig
from graphrec.training.sampling import NegativeSampler, shuffled_batches
from tests.models.cases import (
    CPU,
    DGL,
    EVERY_CASE,
    FLAGSHIP,
    TRAINED,
    Case,
    assert_close,
    batch_of,
    checkerboard_world,
    has_graph,
    path_world,
    planted_world,
    scores_of,
    train_briefly,
)

GRAPH_MODELS = [case for case in TRAINED if has_graph(case.build(path_world()))]
REGULARISED = [case for case in TRAINED if "reg" in case.model_class.Config.model_fields]
trained = pytest.mark.parametrize("case", TRAINED, ids=str)


@trained
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    """Elliot's LightGCN starts its tables at zero: every gradient is zero, and it never learns."""
    world = planted_world()
    model = case.build(world, more={"reg": 0.0} if case in REGULARISED else None)
    sum(model.loss(batch_of(world)).values(), torch.zeros(())).backward()
    parameters = dict(model.named_parameters())
    assert parameters
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@trained
def test_every_parameter_moves_in_training(case: Case) -> None:
    """A parameter made after the optimiser, or overwritten by propagation, stays where it was."""
    world = planted_world()
    model = case.build(world)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train_briefly(model, world, epochs=1, batch_size=512)
    for name, value in model.named_parameters():
        assert not torch.equal(value, before[name]), name


SOLVERS = [case for case in EVERY_CASE if case.name != "popular"]
QUICK = {*FLAGSHIP, *{case.name: case for case in reversed(SOLVERS)}.values()}
"""One case of every model and every fusion; other settings of theirs are among the slow tests."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in QUICK else pytest.mark.slow, id=str(case))
        for case in SOLVERS
    ],
)
def test_checkerboard_is_solved(case: Case) -> None:
    """A wrong sign, shifted ids or swapped positives and negatives: loss falls, ranking is noise.

    Train and valid items are masked, so the one liked item left must be first for every user.
    """
    world = checkerboard_world()
    model = case.ready(world)
    if not model.closed_form:
        result = train_briefly(model, world, epochs=20)
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


@pytest.mark.parametrize("case", REGULARISED, ids=str)
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
        model.begin_epoch(torch_stream(seed, "augmentation", 1))
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


def test_fit_leaves_the_model_ready_to_score() -> None:
    """A model left in training mode ranks with dropout: every call gives other scores."""
    world = planted_world()
    model = Case("ngcf", (("dropout", 0.5),)).build(world)
    train_briefly(model, world, epochs=1, batch_size=512)
    assert torch.equal(scores_of(model, world), scores_of(model, world))


@pytest.mark.parametrize("backend", ["pyg", DGL])
@pytest.mark.parametrize(
    "case", [case for case in TRAINED if has_graph(case.build(path_world()))], ids=str
)
def test_backends_give_the_same_losses_and_gradients(case: Case, backend: str) -> None:
    """Kernels that weigh edges differently, or forget one direction in the gradient."""
    world = planted_world()
    results = []
    for name in ("torch", backend):
        model = case.model_class(case.config(), case.inputs(world, backend=name)).eval()
        total = sum(model.loss(batch_of(world)).values(), torch.zeros(()))
        results.append([total, *torch.autograd.grad(total, list(model.parameters()))])
    for found, expected in zip(*reversed(results), strict=True):
        assert_close(found, expected)


@trained
def test_mixed_precision_sums_in_single(case: Case) -> None:
    """Sparse products have no bfloat16 kernel, and a loss averaged in bfloat16 stops at 1e-2."""
    world = planted_world()
    batch = batch_of(world)
    full, mixed = case.build(world), case.build(world)
    full.eval(), mixed.eval()
    expected = sum(full.loss(batch).values(), torch.zeros(()))
    with torch.autocast("cpu", torch.bfloat16):
        terms = mixed.loss(batch)
    total = sum(terms.values(), torch.zeros(()))
    total.backward()
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert total.item() == pytest.approx(expected.item(), rel=0.02)
    assert all(parameter.grad is not None for parameter in mixed.parameters())
