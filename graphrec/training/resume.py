"""What a training keeps on disk, and how it goes on from there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from graphrec.core.config import Json
from graphrec.core.errors import TrainingError
from graphrec.core.records import made, misfit
from graphrec.models import Model
from graphrec.training.checkpoint import (
    Checkpoint,
    damaged,
    read_checkpoint,
    restore_weights,
    write_checkpoint,
)
from graphrec.training.config import TrainingConfig

MOMENTS = frozenset(("step", "exp_avg", "exp_avg_sq"))
"""State of Adam for each parameter."""


@dataclass
class FitResult:
    """What happened in training.

    Attributes:
        best_epoch: the epoch whose weights the model holds now, counted from 1.
        history: per epoch the learning rate, the mean of each loss term and the metrics.
        stopped: why training ended: ``patience``, ``max_epochs`` or ``closed_form``; empty while it
            goes on.
        continued: what was changed where training went on, as ``epoch 4: training.max_epochs 4 ->
            8``, in order.
    """

    best_epoch: int = 0
    best_score: float | None = None
    bad_evaluations: int = 0
    stopped: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CheckpointPolicy:
    """Where checkpoints go, what they must belong to, and whether to start from one.

    Attributes:
        circumstances: what may change where training goes on; a change is noted in the result.
        last: file for the state after the last epoch, from which a finished training can go on.
    """

    path: Path
    identity: Mapping[str, Json]
    resume: bool = False
    circumstances: Mapping[str, Json] = field(default_factory=dict)
    last: Path | None = None


def best_weights(model: Model) -> dict[str, Tensor]:
    """Return a copy of the weights that are kept after training."""
    state = model.deployable().state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def save_state(
    checkpoint: CheckpointPolicy | None,
    model: Model,
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: FitResult,
) -> None:
    """Write weights, optimizer and history; of a finished training only the best weights."""
    if checkpoint is None:
        return
    tensors = {f"best.{name}": tensor for name, tensor in best.items()}
    if not result.stopped:  # afterwards the best weights are all that is needed
        tensors |= {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    state: dict[str, Json] = {
        "identity": dict(checkpoint.identity),
        "circumstances": dict(checkpoint.circumstances),
        "result": dict(vars(result)),
    }
    write_checkpoint(checkpoint.path, Checkpoint(tensors, state))


def keep_last(
    checkpoint: CheckpointPolicy | None,
    model: Model,
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: FitResult,
) -> None:
    """Keep what a finished training needs to go on as if its limits had been higher from the start.

    The checkpoint itself holds the best weights alone from then on.
    """
    if checkpoint is not None and checkpoint.last is not None:
        save_state(replace(checkpoint, path=checkpoint.last), model, best, optimizer, result)


def restore(
    checkpoint: CheckpointPolicy,
    model: Model,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
) -> tuple[FitResult, dict[str, Tensor]]:
    """Load where training stands; a finished one goes on if its limits have been raised."""
    saved, path = read_checkpoint(checkpoint.path, checkpoint.identity), checkpoint.path
    result = _result_in(saved, path)
    if result.stopped:
        saved = _where_to_go_on(checkpoint, saved, config)
        result = _result_in(saved, path)
    best = saved.group("best")
    restore_weights(model.deployable(), best, path)  # finds what is damaged before any training
    if not result.stopped:
        restore_weights(model, saved.group("model"), path)
        _restore_moments(optimizer, saved.group("optimizer"), path)
        result.continued += _changes(saved, checkpoint.circumstances, len(result.history), path)
    device = next(model.parameters()).device
    return result, {name: tensor.to(device) for name, tensor in best.items()}


def _result_in(saved: Checkpoint, path: Path) -> FitResult:
    fields = saved.state.get("result")
    wrong = misfit(fields, FitResult)
    if wrong or not isinstance(fields, dict):
        raise damaged(path, f"the state of the training: {wrong}")
    return cast(FitResult, made(fields, FitResult))


def require_resumable(checkpoint: CheckpointPolicy, config: TrainingConfig) -> None:
    """Find out before anything is written that training cannot go on from a checkpoint.

    Raises:
        TrainingError: it is damaged or of another run, or the state to go on from was not kept.
    """
    if checkpoint.resume:
        saved = read_checkpoint(checkpoint.path, checkpoint.identity)
        if _result_in(saved, checkpoint.path).stopped:
            _where_to_go_on(checkpoint, saved, config)


def _where_to_go_on(
    checkpoint: CheckpointPolicy, finished: Checkpoint, config: TrainingConfig
) -> Checkpoint:
    """Return the state after the last epoch if more are to be trained, else the finished one.

    Raises:
        TrainingError: more are to be trained, and that state was not kept.
    """
    if checkpoint.last is None or not checkpoint.last.exists():
        result = _result_in(finished, checkpoint.path)
        if len(result.history) < config.max_epochs and not is_exhausted(result, config):
            raise TrainingError(
                f"Checkpoint {checkpoint.path} holds the best weights of a finished training, and "
                f"not the state from which it could go on for more epochs. Start again in another "
                f"folder."
            )
        return finished
    last = read_checkpoint(checkpoint.last, checkpoint.identity)
    result = _result_in(last, checkpoint.last)
    over = len(result.history) >= config.max_epochs or is_exhausted(result, config)
    return finished if over else last


def _changes(saved: Checkpoint, now: Mapping[str, Json], epoch: int, path: Path) -> list[str]:
    """Name what has changed since a checkpoint was written."""
    before = saved.state.get("circumstances", {})
    if not isinstance(before, dict):
        raise damaged(path, "its circumstances are no table")
    return [
        f"epoch {epoch}: {name} {before[name]} -> {value}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def _restore_moments(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Give the optimizer its moments, which must be those of its parameters."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, moment = name.partition(".")
        known = index.isdecimal() and int(index) < len(parameters) and moment in MOMENTS
        if not known or tensor.shape not in ((), parameters[int(index)].shape):
            raise damaged(path, f"{name!r} is no state of its optimizer")
        moments.setdefault(int(index), {})[moment] = tensor
    if any(found.keys() != MOMENTS for found in moments.values()):
        raise damaged(path, "a part of the state of its optimizer is missing")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def is_exhausted(result: FitResult, config: TrainingConfig) -> bool:
    """Return whether training has gone on for ``patience`` evaluations without a better score."""
    return result.bad_evaluations >= config.patience
