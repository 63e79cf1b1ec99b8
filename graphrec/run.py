"""The flow, on one screen: load, split, encode, build, fit, evaluate, write the result.

raw files -> Dataset -> Split (train, valid, sealed test) -> Features -> Model -> fit on train and
valid -> the test part is opened -> Result.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphrec import checks
from graphrec.baselines import better_baselines, chosen_baselines
from graphrec.claim import claimed
from graphrec.config import Json, ModelConfig, RunConfig
from graphrec.content import change_content, encode_items, encode_users
from graphrec.datasets import Interactions, load, split
from graphrec.distillation import taught, with_teacher
from graphrec.evaluation import Evaluation, evaluate, protocol_of
from graphrec.files import write_json
from graphrec.identity import experiment_identity
from graphrec.measurable import log_left_out, require_measurable
from graphrec.memory_limit import require_memory
from graphrec.models import Inputs, Model, model_of
from graphrec.outputs import recommended, summarise, write_tables
from graphrec.prepared import CHECKPOINT, Prepared
from graphrec.progress import step
from graphrec.result import BetterBaseline, Result, environment, read_result, write_result
from graphrec.rng import stream_seed, torch_stream
from graphrec.run_folder import (
    fingerprints_in,
    finished_result,
    holds_result_of,
    require_same_data,
)
from graphrec.run_log import RunLog, openings_in
from graphrec.training import CheckpointPolicy, FitResult, fit, require_resumable

GRAPHS = Path("data/processed/graphs")
"""Graphs of similar items, kept for other runs with the same features."""


def run(config: RunConfig, out: Path | str, *, resume: bool = False) -> Result:
    """Run one experiment and write its folder ``out``.

    Nothing is written before settings and data have proved to be sound. With ``resume`` the run
    goes on from its last checkpoint (or from the start, if it was stopped before the first) and
    ends with the numbers of an uninterrupted run. A finished run goes on if ``training.max_epochs``
    or ``training.patience`` has been raised. Its data may lie elsewhere by now.

    Raises:
        ConfigError: ``out`` holds another run, another process works in it, or settings contradict
            each other.
        DataError: the data do not hold what the configuration says, the teacher is one of other
            data, or ``out`` is not writable.
        TrainingError: the loss is not finite, or the checkpoint is damaged.
    """
    out = Path(out)
    result = finished_result(config, out, resume)
    if result is not None:
        return result
    with claimed(out):
        return _run(config, out, resume)


def _run(config: RunConfig, out: Path, resume: bool) -> Result:
    """Run the experiment, or what is missing of it, in a folder that this process has claimed."""
    result = finished_result(config, out, resume)
    if result is not None:  # by another process, just before
        return result
    log = RunLog()
    details: dict[str, Json] = {"config_hash": experiment_identity(config), "resume": resume}
    log.event("start", f"Run folder {out}", details)
    prepared = prepare(config, log)
    if holds_result_of(config, out):  # finished, and its data have moved
        result = read_result(out)
        require_same_data(out, result.fingerprints, prepared.fingerprints)
        write_json(out / "config.json", config.model_dump(mode="json"))
        return result
    earlier = out / "log.jsonl" if resume else None
    if not (out / CHECKPOINT).exists():  # which knows its data itself
        require_same_data(out, fingerprints_in(earlier), prepared.fingerprints)
    prepared = with_teacher(prepared, log)
    prepared.split.test.openings += openings_in(earlier)
    policy = prepared.checkpoint_in(out, resume, keep_last=True)
    require_resumable(policy, config.training)
    with log.stage("build"):
        model = build(config.model, prepared)
        learner = taught(model, prepared)
    write_json(out / "config.json", config.model_dump(mode="json"))
    log.write_to(out / "log.jsonl")
    with log.stage("fit"):
        fitted = fit_model(learner, prepared, log, policy)
    for change in fitted.continued:
        log.event("continued", f"Training went on from {change}")
    with log.stage("baselines"):
        baselines = fit_baselines(prepared, log)
    truth = prepared.open_test("final evaluation", log)
    return conclude(out, prepared, model, fitted, truth, baselines, log)


def conclude(
    out: Path,
    prepared: Prepared,
    model: Model,
    fitted: FitResult,
    truth: Interactions,
    baselines: Mapping[str, Model],
    log: RunLog,
) -> Result:
    """Measure a fitted model on valid and on the opened test part; write tables and record.

    The baselines are measured beside it, and the log says which of them are better.
    """
    with log.stage("evaluate"):
        beside = {name: measure_test(other, prepared, truth) for name, other in baselines.items()}
        valid = measure_valid(model, prepared)
        test = measure_test(model, prepared, truth)
        own = valid or test
        better = _better(model, own, baselines, beside, prepared, truth, log) if baselines else []
    with log.stage("tables"):
        lists = recommended(model, prepared, test)
        write_tables(out, prepared, model, test, truth, lists)
    result = summarise(prepared, model, fitted, valid, test, truth, lists, beside, better, log)
    write_result(out / "result.json", result)
    return result


def _better(
    model: Model,
    measured: Evaluation,
    baselines: Mapping[str, Model],
    beside: Mapping[str, Evaluation],
    prepared: Prepared,
    truth: Interactions,
    log: RunLog,
) -> list[BetterBaseline]:
    """The baselines that are better than the model by the metric that chooses epochs.

    Both are measured on valid, or on the opened test part where there is no validation part; what
    was measured there already is not measured again.

    Args:
        measured: the model, on that part.
        beside: the baselines on the test part.
    """
    metric, parts = prepared.protocol.valid_metric, prepared.split
    part: Literal["valid", "test"] = "valid" if len(parts.valid) else "test"
    chosen = parts.valid if part == "valid" else truth
    masked = prepared.protocol.masks(part, parts.train, parts.valid)

    def value(own: Model, known: Evaluation | None) -> float:
        if known is not None and metric in known.metrics:
            return known.metrics[metric]
        return _evaluate(own, prepared, chosen, masked, (metric,)).metrics[metric]

    on_test = beside if part == "test" else {}
    values = {name: value(other, on_test.get(name)) for name, other in baselines.items()}
    return better_baselines(metric, part, value(model, measured), values, log)


def prepare(config: RunConfig, log: RunLog) -> Prepared:
    """Load, split and encode.

    Raises:
        ConfigError: settings contradict each other, the data or the machine.
        DataError: the data do not hold what the configuration says.
    """
    started_in = environment()
    device = checks.device_of(config.run.device)
    protocol = protocol_of(config.evaluation)
    names = (config.model.name, *(config.evaluation.baselines or ()))
    models = {name: model_of(name) for name in names}
    checks.require_readers(config, models[config.model.name])
    checks.require_token_readers(config, models)
    with log.stage("load"):
        dataset = load(config.data)
        log.steps(dataset.steps)
        log.weights(dataset, config.model)
    with log.stage("split"):
        parts = split(dataset, config.split)
        log.steps(parts.steps)
        sizes = f"{len(parts.train):,} / {len(parts.valid):,} / {len(parts.test):,}"
        found: dict[str, Json] = {"dataset": dataset.fingerprint, "split": parts.fingerprint}
        message = f"Split {parts.rule}: {sizes} train / valid / test"
        log.event("split", message, {"fingerprints": found})
    require_measurable(config.split, protocol, parts, models.values())
    checks.require_cut_offs(config, protocol, len(dataset.item_ids))
    checks.require_room(config, models, parts.train)
    log_left_out(parts, log)
    with log.stage("encode"):
        encoded = encode_items(config, dataset, parts.train, {}, log)
        features = change_content(config, encoded, dataset, parts.train, log)
        users = encode_users(config, dataset, parts.train, log)
    return Prepared(config, dataset, parts, encoded, features, users, protocol, device, started_in)


def with_settings(prepared: Prepared, config: RunConfig, log: RunLog) -> Prepared:
    """The same data under other settings; only content whose settings differ is encoded anew.

    Raises:
        ConfigError: the settings are of other data, another split or protocol, or the content is
            not what they need.
    """
    checks.require_same_task(prepared.config, config)
    before, data, train = prepared.config, prepared.dataset, prepared.split.train
    if _what_content_follows_from(config) != _what_content_follows_from(before):
        encoded = encode_items(config, data, train, prepared.encoded, log)
        features = change_content(config, encoded, data, train, log)
        prepared = replace(prepared, encoded=encoded, features=features)
    if config.user_features != before.user_features:
        users = encode_users(config, data, train, log)
        prepared = replace(prepared, user_features=users)
    return replace(prepared, config=config)


def _what_content_follows_from(config: RunConfig) -> tuple[object, ...]:
    seed = config.run.seed if config.controls else None
    return config.features, config.controls, config.missing, seed


def build(config: ModelConfig, prepared: Prepared) -> Model:
    """Make a model; it is given the training part and nothing else of the split."""
    model_class = model_of(config.name)
    inputs = Inputs(
        train=prepared.split.train,
        rng=torch_stream(prepared.config.run.seed, "init"),
        features=prepared.features if model_class.uses_modalities else None,
        backend=prepared.backend,
        graphs=GRAPHS,
        user_features=prepared.user_features if model_class.uses_user_features else None,
    )
    require_memory(model_class.needs(config, inputs), prepared.config.run.memory_mb)
    # A model of your own may hold plain torch layers, which draw from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(prepared.config.run.seed, "init"))
        return model_class(config, inputs).to(prepared.device)


def fit_model(
    model: Model,
    prepared: Prepared,
    log: RunLog,
    checkpoint: CheckpointPolicy | None = None,
    watch: Callable[[float], None] | None = None,
    name: str | None = None,
) -> FitResult:
    """Solve or train; the epoch is chosen by the rule of the protocol.

    ``watch`` is told every score of the metric that chooses, and ends training if it raises. Each
    epoch is an event of the log as it ends, under ``name``, by default that of the run's model.
    """
    if model.closed_form:
        model.fit_exact()
        return FitResult(stopped="closed_form")
    protocol, parts = prepared.protocol, prepared.split
    truth, masked = parts.valid, protocol.masks("valid", parts.train, parts.valid)
    if protocol.selection == "best_test_epoch":
        truth = prepared.open_test("best_test_epoch: the epoch is chosen on test", log)
        masked = protocol.masks("test", parts.train, parts.valid)

    def validate(fitted: Model) -> Mapping[str, float]:
        metrics = _evaluate(fitted, prepared, truth, masked, (protocol.valid_metric,)).metrics
        if watch is not None:
            watch(metrics[protocol.valid_metric])
        return metrics

    return fit(
        model,
        parts.train,
        prepared.config.training,
        seed=prepared.config.run.seed,
        device=prepared.device,
        validate=None if protocol.selection == "last_epoch" else validate,
        metric=protocol.valid_metric,
        part="test" if protocol.selection == "best_test_epoch" else "valid",
        checkpoint=checkpoint,
        report=partial(log.epoch, prepared.config.model.name if name is None else name),
    )


def fit_baselines(prepared: Prepared, log: RunLog) -> dict[str, Model]:
    """Fit the baselines, with their default settings, on the same split."""
    models = {}
    for name in chosen_baselines(prepared.config, prepared.split.train, log):
        model = build(model_of(name).Config(name=name), prepared)
        fit_model(model, prepared, log, name=name)
        models[name] = model
    return models


def measure_valid(
    model: Model, prepared: Prepared, metrics: tuple[str, ...] = ()
) -> Evaluation | None:
    """Evaluate on the validation part, if there is one; by default all metrics of the run."""
    parts = prepared.split
    if not len(parts.valid):
        return None
    masked = prepared.protocol.masks("valid", parts.train, parts.valid)
    metrics = metrics or prepared.config.evaluation.metrics
    return _evaluate(model, prepared, parts.valid, masked, metrics)


def measure_test(model: Model, prepared: Prepared, truth: Interactions) -> Evaluation:
    """Evaluate on the opened test part; every user is ranked, those with test items measured."""
    parts = prepared.split
    masked = prepared.protocol.masks("test", parts.train, parts.valid)
    metrics = prepared.config.evaluation.metrics
    return _evaluate(model, prepared, truth, masked, metrics, np.arange(truth.num_users))


def _evaluate(
    model: Model,
    prepared: Prepared,
    truth: Interactions,
    masked: tuple[Interactions, ...],
    metrics: tuple[str, ...],
    users: npt.NDArray[np.int64] | None = None,
) -> Evaluation:
    config = prepared.config
    model.eval()
    with torch.no_grad(), step("Ranking", truth.num_users if users is None else len(users)) as bar:
        scorer = model.scorer()

        def counted(batch: Tensor) -> Tensor:
            bar.advance(len(batch))
            return scorer(batch)

        return evaluate(
            counted,
            truth,
            masked,
            prepared.split.train,
            prepared.protocol,
            metrics,
            config.evaluation.top_k,
            device=prepared.device,
            memory_bytes=config.evaluation.memory_mb * 2**20,
            users=users,
            min_length=1 if users is None else config.run.recommend_k,
        )
