"""The optimisation loop: epochs, early stopping, best epoch restored, exact resume."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from graphrec.config import Json, TrainingConfig
from graphrec.datasets.interactions import Interactions
from graphrec.datasets.sampling import SAMPLING, NegativeSampler
from graphrec.errors import ConfigError, TrainingError
from graphrec.models.base import Batch, Model
from graphrec.progress import EPOCHS, step
from graphrec.rng import stream_seed, torch_stream
from graphrec.shapes import misfit
from graphrec.training.checkpoint import (
    Checkpoint,
    damaged,
    read_checkpoint,
    restore_weights,
    write_checkpoint,
)
from graphrec.training.memory import keep_freed_memory

Validate = Callable[[Model], Mapping[str, float]]

Told = Callable[[str, Mapping[str, float]], None]
"""Is given the line and the figures of each epoch as it ends."""


def _silent(line: str, record: Mapping[str, float]) -> None:
    """Say nothing: a library is quiet."""


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


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of ``epoch`` (from 1): a pure function, so that resuming needs no state."""
    done = epoch - 1
    if config.schedule == "exponential":
        return config.lr * math.pow(config.decay, done / 50)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * done / config.max_epochs))
    return config.lr


def fit(
    model: Model,
    train: Interactions,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device | str,
    validate: Validate | None = None,
    metric: str = "",
    part: str = "valid",
    checkpoint: CheckpointPolicy | None = None,
    told: Told = _silent,
) -> FitResult:
    """Train ``model`` in place; afterwards it holds the weights of the best epoch.

    Args:
        validate: returns metrics of the model as it is; None trains for ``max_epochs`` and keeps
            the last weights.
        metric: the metric that chooses the epoch; larger is better, the first best wins.
        part: what ``validate`` measures on, as named in the history.
        told: is given a line and the record of each epoch as it ends.

    Raises:
        TrainingError: a loss term is not finite (epoch, batch and term are named), or the
            checkpoint to resume from is missing, damaged or of another run.
        ConfigError: ``device`` is none, or mixed precision without CUDA.
    """
    device = _device(device)
    _require_precision(config, device)
    keep_freed_memory()
    model.to(device)
    groups = [{"params": weights, "scale": scale} for weights, scale in model.learning_rates()]
    optimizer = torch.optim.Adam(groups, lr=config.lr, fused=True)
    best = _weights(model)
    result = FitResult()
    if checkpoint is not None and checkpoint.resume:
        result, best = _restore(checkpoint, model, optimizer, config)
    if result.stopped:
        return _finish(model, best, result)
    sampler = NegativeSampler(train, config.negatives, device)
    epochs_done = len(result.history)
    with step(EPOCHS, config.max_epochs, epochs_done) as progress:
        for epoch in range(epochs_done + 1, config.max_epochs + 1):
            if _exhausted(result, config):
                break
            record = _train_epoch(model, train, sampler, optimizer, config, seed, device, epoch)
            if validate is None:
                result.best_epoch, best = epoch, _weights(model)
            elif epoch % config.eval_every == 0 or epoch == config.max_epochs:
                if epoch % config.eval_every:  # with more epochs this one would not be judged
                    ahead = replace(result, history=[*result.history, dict(record)])
                    _keep_last(checkpoint, model, best, optimizer, ahead)
                best = _judge(model, validate, f"{part}/{metric}", record, result, best)
            result.history.append(record)
            if epoch % config.checkpoint_every == 0:
                _save(checkpoint, model, best, optimizer, result)
            note = _note(record, f"{part}/{metric}", result)
            told(f"epoch {epoch} of {config.max_epochs}: {note}", record)
            progress.advance(note=note)
    if validate is None or len(result.history) % config.eval_every == 0:
        _keep_last(checkpoint, model, best, optimizer, result)
    result.stopped = "patience" if _exhausted(result, config) else "max_epochs"
    _save(checkpoint, model, best, optimizer, result)
    return _finish(model, best, result)


def _require_precision(config: TrainingConfig, device: torch.device) -> None:
    if config.precision == "bfloat16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision = 'bfloat16' needs CUDA, but the device is {device}. "
            f"Use training.precision = 'float32'."
        )


def _device(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device = {device!r} is no device. Use cpu, cuda or cuda:0.") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {str(device)!r}, but this torch sees no CUDA. Use cpu.")
    return found


def _finish(model: Model, best: Mapping[str, Tensor], result: FitResult) -> FitResult:
    """Leave the model with its best weights, ready to score."""
    model.lasting().load_state_dict(best)
    model.eval()
    return result


def _exhausted(result: FitResult, config: TrainingConfig) -> bool:
    return result.bad_evaluations >= config.patience


def _train_epoch(
    model: Model,
    train: Interactions,
    sampler: NegativeSampler,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    seed: int,
    device: torch.device,
    epoch: int,
) -> dict[str, float]:
    """As many positives as there are training pairs; returns the record of the epoch."""
    started = time.perf_counter()
    rate = learning_rate(config, epoch)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    negatives = torch_stream(seed, "negatives", epoch, device)
    mixed = (
        torch.autocast(device.type, torch.bfloat16)
        if config.precision == "bfloat16"
        else nullcontext()
    )
    sums: dict[str, Tensor] = {}
    batches = 0
    model.train()
    # Layers such as dropout draw from the global generator: seed it here, restore it after.
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(stream_seed(seed, "layers", epoch))
        model.begin_epoch(torch_stream(seed, "augmentation", epoch, device))
        order = torch_stream(seed, "order", epoch)
        pairs = SAMPLING[config.sampling](train, config.batch_size, order, device)
        for users, pos in pairs:
            batch = Batch(users, pos, sampler.sample(users, config.num_negatives, negatives))
            optimizer.zero_grad(set_to_none=True)
            with mixed:
                terms = model.loss(batch)
                total = torch.stack(list(terms.values())).sum()
            batches += 1
            if not torch.isfinite(total):
                _explain_non_finite(terms, epoch, batches)
            total.backward()
            optimizer.step()
            for name, term in terms.items():
                value = term.detach()
                sums[name] = sums[name] + value if name in sums else value
    record = {"epoch": float(epoch), "lr": rate}
    record |= {f"loss/{name}": float(total) / batches for name, total in sums.items()}
    record["train_seconds"] = time.perf_counter() - started
    return record


def _explain_non_finite(terms: Mapping[str, Tensor], epoch: int, batch: int) -> None:
    values = {name: float(term.detach()) for name, term in terms.items()}
    bad = {name: value for name, value in values.items() if not math.isfinite(value)}
    shown = ", ".join(f"{name} = {value}" for name, value in (bad or values).items())
    raise TrainingError(
        f"The loss is not finite in epoch {epoch}, batch {batch}: {shown}. Lower training.lr, "
        f"raise model.temperature or look at the scale of the features."
    )


def _judge(
    model: Model,
    validate: Validate,
    key: str,
    record: dict[str, float],
    result: FitResult,
    best: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Validate, update the early-stopping state, and return the weights of the best epoch."""
    started = time.perf_counter()
    model.eval()
    part, _, metric = key.partition("/")
    metrics = validate(model)
    record |= {f"{part}/{name}": value for name, value in metrics.items()}
    record["valid_seconds"] = time.perf_counter() - started
    score = metrics[metric]
    if result.best_score is None or score > result.best_score:
        result.best_score, result.bad_evaluations = score, 0
        result.best_epoch = int(record["epoch"])
        return _weights(model)
    result.bad_evaluations += 1
    return best


def _note(record: Mapping[str, float], key: str, result: FitResult) -> str:
    loss = sum(value for name, value in record.items() if name.startswith("loss/"))
    note = f"loss {loss:.4f}"
    if key in record:
        shown = key.replace("/", " ")
        note += f"  {shown} {record[key]:.4f} (best epoch {result.best_epoch})"
    return note


def _weights(model: Model) -> dict[str, Tensor]:
    state = model.lasting().state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _save(
    checkpoint: CheckpointPolicy | None,
    model: Model,
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: FitResult,
) -> None:
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


def _keep_last(
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
        _save(replace(checkpoint, path=checkpoint.last), model, best, optimizer, result)


def _restore(
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
    restore_weights(model.lasting(), best, path)  # finds what is damaged before any training
    if not result.stopped:
        restore_weights(model, saved.group("model"), path)
        _restore_moments(optimizer, saved.group("optimizer"), path)
        result.continued += _changes(saved, checkpoint.circumstances, len(result.history))
    device = next(model.parameters()).device
    return result, {name: tensor.to(device) for name, tensor in best.items()}


def _result_in(saved: Checkpoint, path: Path) -> FitResult:
    fields = saved.state.get("result")
    wrong = misfit(fields, FitResult)
    if wrong or not isinstance(fields, dict):
        raise damaged(path, f"the state of the training: {wrong}")
    return FitResult(**fields)  # type: ignore[arg-type]


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
    """The state after the last epoch if more are to be trained, else the finished one.

    Raises:
        TrainingError: more are to be trained, and that state was not kept.
    """
    if checkpoint.last is None or not checkpoint.last.exists():
        result = _result_in(finished, checkpoint.path)
        if len(result.history) < config.max_epochs and not _exhausted(result, config):
            raise TrainingError(
                f"Checkpoint {checkpoint.path} holds the best weights of a finished training, and "
                f"not the state from which it could go on for more epochs. Start again in another "
                f"folder."
            )
        return finished
    last = read_checkpoint(checkpoint.last, checkpoint.identity)
    result = _result_in(last, checkpoint.last)
    over = len(result.history) >= config.max_epochs or _exhausted(result, config)
    return finished if over else last


def _changes(saved: Checkpoint, now: Mapping[str, Json], epoch: int) -> list[str]:
    """What has changed since a checkpoint was written."""
    before = saved.state.get("circumstances", {})
    assert isinstance(before, dict)
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
