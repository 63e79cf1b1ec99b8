"""The optimisation loop: schedules, patience, the best epoch, and losses that are not finite."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphrec import ConfigError, Inputs, Interactions, Model, TrainingError
from graphrec.core.rng import torch_stream
from graphrec.models import MODELS, Batch, ParameterGroup
from graphrec.models.config import ModelConfig
from graphrec.training import CheckpointPolicy, FitResult, fit, read_checkpoint
from graphrec.training.config import TrainingConfig
from graphrec.training.fit import learning_rate
from tests.models.cases import random_features

CPU = torch.device("cpu")
PAIRS = Interactions(
    np.array([0, 0, 1, 1, 2, 2, 3], np.int32), np.array([0, 1, 1, 2, 2, 3, 3], np.int32), 4, 5
)


class Descent(Model):
    """One weight w with loss -w: Adam raises it by about lr in every step."""

    def __init__(self, terms: Callable[[int, Tensor], dict[str, Tensor]] | None = None) -> None:
        super().__init__(ModelConfig(name="descent"), Inputs(PAIRS, torch.Generator()))
        self.w = nn.Parameter(torch.zeros(1))
        self.terms = terms
        self.steps = 0
        self.modes: list[bool] = []

    def scorer(self) -> Callable[[Tensor], Tensor]:
        return lambda users: self.w.expand(len(users), self.num_items)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        self.modes.append(self.training)
        return self.terms(self.steps, self.w) if self.terms else {"fall": -self.w.sum()}


def scores(*values: float) -> Callable[[Model], Mapping[str, float]]:
    """A validation that returns these values of ``m``, one per evaluation."""
    remaining: Iterator[float] = iter(values)
    return lambda model: {"m": next(remaining)}


def train(
    model: Model,
    validate: Callable[[Model], Mapping[str, float]] | None = None,
    checkpoint: CheckpointPolicy | None = None,
    **settings: float | int | str,
) -> FitResult:
    config = TrainingConfig.model_validate({"batch_size": 7, "lr": 0.1} | settings)
    return fit(
        model,
        PAIRS,
        config,
        seed=0,
        device=CPU,
        validate=validate,
        metric="m",
        checkpoint=checkpoint,
    )


# Learning rates.


def test_constant_rate() -> None:
    config = TrainingConfig(lr=0.5)
    assert [learning_rate(config, epoch) for epoch in (1, 2, 1000)] == [0.5] * 3


def test_exponential_rate_falls_by_decay_every_fifty_epochs() -> None:
    config = TrainingConfig(lr=0.5, schedule="exponential", decay=0.9)
    assert learning_rate(config, 1) == 0.5
    assert learning_rate(config, 51) == pytest.approx(0.5 * 0.9)
    assert learning_rate(config, 101) == pytest.approx(0.5 * 0.81)
    assert learning_rate(config, 26) == pytest.approx(0.5 * 0.9**0.5)


def test_cosine_rate_falls_from_lr_towards_zero() -> None:
    config = TrainingConfig(lr=0.5, schedule="cosine", max_epochs=4)
    rates = [learning_rate(config, epoch) for epoch in (1, 2, 3, 4, 5)]
    half = math.sqrt(0.5)
    wanted = [0.5, 0.25 * (1 + half), 0.25, 0.25 * (1 - half), 0.0]
    assert rates == pytest.approx(wanted, abs=1e-12)


def test_the_optimiser_uses_the_rate_of_the_epoch() -> None:
    """Adam moves a weight with a constant gradient by the rate in every step."""
    model = Descent()
    result = train(model, schedule="exponential", decay=0.01, max_epochs=3)
    rates = [record["lr"] for record in result.history]
    assert rates == pytest.approx([0.1 * 0.01 ** (epoch / 50) for epoch in range(3)])
    assert model.w.item() == pytest.approx(sum(rates), rel=1e-4)


class SlowDescent(Descent):
    """Learns at a quarter of the rate."""

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([self.w], lr_scale=0.25)]


def test_a_group_of_weights_has_its_multiple_of_the_rate() -> None:
    model = SlowDescent()
    result = train(model, max_epochs=3)
    assert [record["lr"] for record in result.history] == [0.1] * 3
    assert model.w.item() == pytest.approx(0.25 * 0.3, rel=1e-4)


# Which epoch.


def test_best_epoch_is_restored() -> None:
    model = Descent()
    result = train(model, scores(0.1, 0.5, 0.2, 0.3), max_epochs=4)
    assert (result.best_epoch, result.best_score, result.stopped) == (2, 0.5, "max_epochs")
    assert model.w.item() == pytest.approx(0.2, rel=1e-4)


def test_the_first_of_equal_scores_wins() -> None:
    result = train(Descent(), scores(0.1, 0.5, 0.5), max_epochs=3)
    assert result.best_epoch == 2


def test_a_score_of_zero_is_a_score() -> None:
    model = Descent()
    result = train(model, scores(0.0, 0.0, 0.0), max_epochs=3)
    assert result.best_epoch == 1
    assert model.w.item() == pytest.approx(0.1, rel=1e-4)


def test_patience_counts_evaluations_in_a_row_without_a_better_score() -> None:
    result = train(Descent(), scores(0.1, 0.0, 0.2, 0.2, 0.1, 0.3), max_epochs=6, patience=2)
    assert (len(result.history), result.best_epoch, result.stopped) == (5, 3, "patience")


def test_patience_of_one_stops_at_the_first_disappointment() -> None:
    result = train(Descent(), scores(0.2, 0.3, 0.3, 0.9), max_epochs=4, patience=1)
    assert (len(result.history), result.best_epoch, result.stopped) == (3, 2, "patience")


def test_eval_every_evaluates_every_other_epoch_and_the_last_one() -> None:
    result = train(Descent(), scores(0.1, 0.2, 0.3), max_epochs=5, eval_every=2)
    judged = [int(record["epoch"]) for record in result.history if "valid/m" in record]
    assert judged == [2, 4, 5]
    assert result.best_epoch == 5


def test_without_validation_the_last_weights_stay() -> None:
    model = Descent()
    result = train(model, max_epochs=3)
    assert (result.best_epoch, result.stopped) == (3, "max_epochs")
    assert model.w.item() == pytest.approx(0.3, rel=1e-4)


def test_history_has_rate_losses_metrics_and_seconds_of_every_epoch() -> None:
    result = train(Descent(), scores(0.1, 0.2), max_epochs=2)
    assert [sorted(record) for record in result.history] == [
        ["epoch", "loss/fall", "lr", "train_seconds", "valid/m", "valid_seconds"]
    ] * 2
    assert [record["epoch"] for record in result.history] == [1, 2]


def test_loss_of_an_epoch_is_the_mean_over_its_batches() -> None:
    def terms(step: int, w: Tensor) -> dict[str, Tensor]:
        return {"a": w.sum() * 0 + step, "b": w.sum() * 0 + 10 * step}

    result = train(Descent(terms), max_epochs=1, batch_size=3)  # 7 pairs: 3 batches
    record = result.history[0]
    assert (record["loss/a"], record["loss/b"]) == (2.0, 20.0)


def test_models_train_in_training_mode_and_are_judged_in_evaluation_mode() -> None:
    model = Descent()
    judged: list[bool] = []

    def validate(fitted: Model) -> Mapping[str, float]:
        judged.append(fitted.training)
        return {"m": 0.0}

    train(model, validate, max_epochs=2)
    assert (judged, model.modes) == ([False, False], [True, True])


def test_a_new_epoch_is_announced_with_its_own_stream() -> None:
    drawn: list[int] = []

    class Announced(Descent):
        def begin_epoch(self, rng: torch.Generator) -> None:
            drawn.append(int(torch.randint(10**9, (1,), generator=rng)))

    train(Announced(), max_epochs=3)
    again = [
        int(torch.randint(10**9, (1,), generator=torch_stream(0, "augmentation", epoch)))
        for epoch in (1, 2, 3)
    ]
    assert drawn == again
    assert len(set(drawn)) == 3


def test_order_and_negatives_are_new_in_each_epoch_and_the_same_in_each_run() -> None:
    """With a single user, the negatives do not depend on the order of the pairs."""

    class Listening(Descent):
        def __init__(self) -> None:
            super().__init__()
            self.orders: list[list[int]] = []
            self.negatives: list[list[int]] = []

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            self.orders.append(batch.pos.tolist())
            self.negatives.append(batch.neg.flatten().tolist())
            return super().loss(batch)

    items = np.arange(9, dtype=np.int32)
    single = Interactions(np.zeros_like(items), items, 1, 1000)
    models = (Listening(), Listening())
    for model in models:
        fit(model, single, TrainingConfig(max_epochs=3), seed=0, device=CPU)
    assert models[0].orders == models[1].orders
    assert models[0].negatives == models[1].negatives
    for drawn in (models[0].orders, models[0].negatives):
        assert len({tuple(epoch) for epoch in drawn}) == 3
    assert all(sorted(order) == items.tolist() for order in models[0].orders)


def test_the_positives_of_an_epoch_are_all_pairs_or_drawn_by_user() -> None:
    """One user with a single item and one with a thousand."""
    shares = {}
    for sampling in ("pairs", "users"):
        users: list[int] = []

        class Listening(Descent):
            def loss(self, batch: Batch, users: list[int] = users) -> dict[str, Tensor]:
                users += batch.users.tolist()
                return super().loss(batch)

        items = np.arange(1001, dtype=np.int32)
        uneven = Interactions((items > 0).astype(np.int32), items, 2, 2000)
        config = TrainingConfig.model_validate({"max_epochs": 1, "sampling": sampling})
        fit(Listening(), uneven, config, seed=0, device=CPU)
        assert len(users) == 1001
        shares[sampling] = users.count(0)
    assert shares["pairs"] == 1
    assert 400 < shares["users"] < 600


def test_layers_draw_the_same_numbers_in_an_epoch_whatever_was_drawn_before() -> None:
    def drawing(into: list[float]) -> Descent:
        def terms(step: int, w: Tensor) -> dict[str, Tensor]:
            into.append(torch.rand(1).item())
            return {"fall": -w.sum()}

        return Descent(terms)

    first: list[float] = []
    second: list[float] = []
    train(drawing(first), max_epochs=2, batch_size=4)
    torch.rand(5)
    train(drawing(second), max_epochs=2, batch_size=4)
    assert first == second
    assert len(set(first)) == 4


# What cannot go on.


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_names_epoch_batch_and_term(bad: float) -> None:
    def terms(step: int, w: Tensor) -> dict[str, Tensor]:
        return {"good": w.sum(), "broken": w.sum() * 0 + (bad if step == 5 else 1.0)}

    with pytest.raises(TrainingError, match=r"epoch 2, batch 2: .*broken = -?(nan|inf)") as caught:
        train(Descent(terms), max_epochs=3, batch_size=3)
    assert "good" not in str(caught.value)
    assert "training.lr" in str(caught.value)


def test_bfloat16_on_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision = 'bfloat16' needs CUDA"):
        train(Descent(), precision="bfloat16")


def test_a_user_with_every_item_is_refused() -> None:
    full = Interactions(np.array([0, 0], np.int32), np.array([0, 1], np.int32), 1, 2)
    with pytest.raises(ValueError, match="no negative exists"):
        fit(Descent(), full, TrainingConfig(), seed=0, device=CPU)


# Checkpoints of the loop.


def test_checkpoint_of_every_epoch_holds_model_best_moments_and_counters(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    seen: list[dict[str, float]] = []

    def validate(model: Model) -> Mapping[str, float]:
        if path.exists():
            saved = read_checkpoint(path)
            groups = {name: saved.group(name) for name in ("model", "best", "optimizer")}
            state = saved.state["result"]
            assert isinstance(state, dict)
            seen.append(
                {
                    "model": groups["model"]["w"].item(),
                    "best": groups["best"]["w"].item(),
                    "steps": groups["optimizer"]["0.step"].item(),
                    "bad": float(str(state["bad_evaluations"])),
                }
            )
        return {"m": [0.3, 0.2, 0.1, 0.0][len(seen)]}

    train(Descent(), validate, CheckpointPolicy(path, {"config": "x"}), max_epochs=4)
    assert [record["steps"] for record in seen] == [1, 2, 3]
    assert [record["bad"] for record in seen] == [0, 1, 2]
    assert [record["model"] for record in seen] == pytest.approx([0.1, 0.2, 0.3], rel=1e-4)
    assert [record["best"] for record in seen] == pytest.approx([0.1] * 3, rel=1e-4)


def test_checkpoint_of_a_finished_fit_holds_the_best_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(Descent(), scores(0.3, 0.2), CheckpointPolicy(path, {}), max_epochs=2)
    assert set(read_checkpoint(path).tensors) == {"best.w"}


def test_resuming_a_finished_fit_restores_the_best_weights_without_a_step(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    first = train(Descent(), scores(0.3, 0.2), CheckpointPolicy(path, {}), max_epochs=2)
    model = Descent()
    second = train(model, scores(), CheckpointPolicy(path, {}, resume=True), max_epochs=2)
    assert (second, model.steps) == (first, 0)
    assert model.w.item() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if not MODELS[name].closed_form])
def test_best_weights_are_those_of_a_fit_that_ended_there(name: str) -> None:
    """Trained for 4 epochs with epoch 2 judged best, a model equals one trained for 2 epochs."""

    def build() -> Model:
        config = MODELS[name].Config.model_validate({"name": name, "dim": 4})
        features = random_features(PAIRS.num_items, 0) if MODELS[name].uses_modalities else None
        return MODELS[name](config, Inputs(PAIRS, torch_stream(0, "init"), features))

    long, short = build(), build()
    result = train(long, scores(0.1, 0.9, 0.2, 0.3), max_epochs=4)
    train(short, max_epochs=2)
    assert result.best_epoch == 2
    ended = short.state_dict()
    assert all(torch.equal(tensor, ended[key]) for key, tensor in long.state_dict().items())


def test_a_device_may_be_given_by_name() -> None:
    by_name, by_device = (
        fit(Descent(), PAIRS, TrainingConfig(max_epochs=2), seed=0, device=device)
        for device in ("cpu", CPU)
    )
    assert [each["loss/fall"] for each in by_name.history] == [
        each["loss/fall"] for each in by_device.history
    ]


@pytest.mark.parametrize("device", ["gpu", "tpu:0", ""])
def test_what_is_no_device_is_named(device: str) -> None:
    with pytest.raises(ConfigError, match=f"device = {device!r} is no device. Use cpu"):
        fit(Descent(), PAIRS, TrainingConfig(max_epochs=2), seed=0, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="device = 'cuda', but this torch sees no CUDA"):
        fit(Descent(), PAIRS, TrainingConfig(max_epochs=2), seed=0, device="cuda")
