"""The optimisation loop: epochs, early stopping, best epoch restored, exact resume."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from graphrec.core.errors import ConfigError, TrainingError
from graphrec.core.progress import EPOCHS, step
from graphrec.core.rng import stream_seed, torch_stream
from graphrec.data import Interactions
from graphrec.models import Model
from graphrec.training.config import TrainingConfig
from graphrec.training.memory import keep_freed_memory
from graphrec.training.resume import (
    CheckpointPolicy,
    FitResult,
    best_weights,
    is_exhausted,
    keep_last,
    restore,
    save_state,
)
from graphrec.training.sampling import Batching

Validate = Callable[[Model], Mapping[str, float]]

EpochReport = Callable[[str, Mapping[str, float]], None]
"""Receives a line of text and the figures of each epoch as it ends."""


def _silent(line: str, record: Mapping[str, float]) -> None:
    """Say nothing: a library is quiet."""


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
    report: EpochReport = _silent,
) -> FitResult:
    """Train ``model`` in place; afterwards it holds the weights of the best epoch.

    Args:
        validate: returns metrics of the model as it is; None trains for ``max_epochs`` and keeps
            the last weights.
        metric: the metric that chooses the epoch; larger is better, the first best wins.
        part: what ``validate`` measures on, as named in the history.
        report: receives a line of text and the figures of each epoch as it ends.

    Raises:
        TrainingError: a loss term is not finite (epoch, batch and term are named), or the
            checkpoint to resume from is missing, damaged or of another run.
        ConfigError: ``device`` names no device, or mixed precision without CUDA.
    """
    device = _device(device)
    _require_precision(config, device)
    keep_freed_memory()
    model.to(device)
    groups = [
        {"params": group.parameters, "scale": group.lr_scale, "weight_decay": group.weight_decay}
        for group in model.parameter_groups()
    ]
    optimizer = torch.optim.Adam(groups, lr=config.lr, fused=True)
    best = best_weights(model)
    result = FitResult()
    if checkpoint is not None and checkpoint.resume:
        result, best = restore(checkpoint, model, optimizer, config)
    if result.stopped:
        return _finish(model, best, result)
    batching = Batching(model.batches, train, config, device)
    epochs_done = len(result.history)
    with step(EPOCHS, config.max_epochs, epochs_done) as progress:
        for epoch in range(epochs_done + 1, config.max_epochs + 1):
            if is_exhausted(result, config):
                break
            record = _train_epoch(model, batching, optimizer, config, seed, device, epoch)
            if validate is None:
                result.best_epoch, best = epoch, best_weights(model)
            elif epoch % config.eval_every == 0 or epoch == config.max_epochs:
                if epoch % config.eval_every:  # with more epochs this one would not be judged
                    ahead = replace(result, history=[*result.history, dict(record)])
                    keep_last(checkpoint, model, best, optimizer, ahead)
                best = _judge(model, validate, f"{part}/{metric}", record, result, best)
            result.history.append(record)
            note = _note(record, f"{part}/{metric}", result)
            report(f"epoch {epoch} of {config.max_epochs}: {note}", record)
            if epoch % config.checkpoint_every == 0:  # last: what a kill leaves out comes again
                save_state(checkpoint, model, best, optimizer, result)
            progress.advance(note=note)
    if validate is None or len(result.history) % config.eval_every == 0:
        keep_last(checkpoint, model, best, optimizer, result)
    result.stopped = "patience" if is_exhausted(result, config) else "max_epochs"
    save_state(checkpoint, model, best, optimizer, result)
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
    model.deployable().load_state_dict(best)
    model.eval()
    return result


def _train_epoch(
    model: Model,
    batching: Batching,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    seed: int,
    device: torch.device,
    epoch: int,
) -> dict[str, float]:
    """Train for one pass over the training part, and return the record of the epoch."""
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
        for batch in batching.draw(order, negatives):
            optimizer.zero_grad(set_to_none=True)
            with mixed:
                terms = model(batch)
                total = torch.stack(list(terms.values())).sum()
            batches += 1
            if not torch.isfinite(total):
                _explain_non_finite(terms, epoch, batches)
            total.backward()
            optimizer.step()
            model.after_step()
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
        return best_weights(model)
    result.bad_evaluations += 1
    return best


def _note(record: Mapping[str, float], key: str, result: FitResult) -> str:
    loss = sum(value for name, value in record.items() if name.startswith("loss/"))
    note = f"loss {loss:.4f}"
    if key in record:
        shown = key.replace("/", " ")
        note += f"  {shown} {record[key]:.4f} (best epoch {result.best_epoch})"
    return note
