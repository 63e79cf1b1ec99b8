"""The flow, on one screen: load, split, encode, build, fit, evaluate, write the result.

raw files -> Dataset -> Split (train, valid, sealed test) -> Features -> Model -> fit on train and
valid -> the test part is opened -> Result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphrec import checks
from graphrec.config import FeatureConfig, Json, ModelConfig, RunConfig
from graphrec.config_file import config_hash, differing_settings
from graphrec.datasets import Dataset, Interactions, Split, load, split
from graphrec.distillation import Teacher, taught, with_teacher
from graphrec.errors import ConfigError
from graphrec.evaluation import Evaluation, Protocol, evaluate, protocol_of
from graphrec.features import Features, Modality, encode
from graphrec.features.controls import controlled
from graphrec.features.interactions import Side
from graphrec.files import write_json
from graphrec.graphs.backends import Backend, choose_backend
from graphrec.measurable import log_left_out, require_measurable
from graphrec.memory_limit import require_memory
from graphrec.missing import remove_and_fill
from graphrec.models import MODELS, Inputs, Model
from graphrec.names import resolve
from graphrec.outputs import recommended, summarise, write_tables
from graphrec.progress import step
from graphrec.result import Result, environment, read_result, write_result
from graphrec.rng import stream_seed, torch_stream
from graphrec.run_log import RunLog
from graphrec.training import CheckpointPolicy, FitResult, fit

CHECKPOINT = "checkpoint.safetensors"
GRAPHS = Path("data/processed/graphs")
"""Graphs of similar items, kept for other runs with the same features."""


def run(config: RunConfig, out: Path | str, *, resume: bool = False) -> Result:
    """Run one experiment and write its folder ``out``.

    Nothing is written before settings and data have proved to be sound. With ``resume`` the run
    goes on from its last checkpoint (or from the start, if it was stopped before the first) and
    ends with the numbers of an uninterrupted run.

    Raises:
        ConfigError: ``out`` holds another run, or settings contradict each other.
        DataError: the data do not hold what the configuration says, the teacher is one of other
            data, or ``out`` is not writable.
        TrainingError: the loss is not finite, or the checkpoint is damaged.
    """
    out = Path(out)
    if _already_finished(config, out, resume):
        return read_result(out)
    log = RunLog()
    log.event("start", f"Run folder {out}", {"config_hash": config_hash(config), "resume": resume})
    prepared = with_teacher(prepare(config, log), log)
    with log.stage("build"):
        model = build(config.model, prepared)
        learner = taught(model, prepared)
    for left_by_a_kill in out.glob(".*.part"):
        left_by_a_kill.unlink()
    write_json(out / "config.json", config.model_dump(mode="json"))
    log.write_to(out / "log.jsonl")
    with log.stage("fit"):
        going_on = resume and (out / CHECKPOINT).exists()
        policy = CheckpointPolicy(out / CHECKPOINT, prepared.identity, going_on)
        fitted = fit_model(learner, prepared, log, policy)
    with log.stage("baselines"):
        baselines = fit_baselines(prepared, log)
    with log.stage("evaluate"):
        truth = prepared.open_test("final evaluation", log)
        beside = {name: measure_test(other, prepared, truth) for name, other in baselines.items()}
    return conclude(out, prepared, model, fitted, truth, beside, log)


def conclude(
    out: Path,
    prepared: "Prepared",
    model: Model,
    fitted: FitResult,
    truth: Interactions,
    beside: dict[str, Evaluation],
    log: RunLog,
) -> Result:
    """Measure a fitted model on valid and on the opened test part; write tables and record."""
    with log.stage("evaluate"):
        valid = measure_valid(model, prepared)
        test = measure_test(model, prepared, truth)
    with log.stage("tables"):
        lists = recommended(model, prepared, test)
        write_tables(out, prepared, model, test, truth, lists)
    result = summarise(prepared, model, fitted, valid, test, truth, lists, beside, log)
    write_result(out / "result.json", result)
    return result


Encoded = tuple[FeatureConfig, Modality]
"""A modality as it was encoded, and the settings by which it was."""


@dataclass(frozen=True)
class Prepared:
    """All that the models of one experiment share; built once."""

    config: RunConfig
    dataset: Dataset
    split: Split
    encoded: Mapping[str, Encoded]
    """Modalities of items before controls and removal; kept for other settings of the rest."""
    features: Features
    user_features: Features
    protocol: Protocol
    device: torch.device
    environment: dict[str, Json]
    """Versions and git state at the start: the checkout may move on while a run goes on."""
    teacher: Teacher | None = None
    """Who teaches the model; a run that is finished does without."""

    @property
    def backend(self) -> Backend:
        """Kernels of message passing; others round differently."""
        return choose_backend(self.config.run.backend, self.device)

    @property
    def fingerprints(self) -> dict[str, str]:
        """sha256 of everything that a number depends on, besides the model."""
        users = {"user_features": self.user_features.fingerprint} if self.user_features else {}
        teacher = {"teacher": self.teacher.fingerprint} if self.teacher else {}
        return {
            "dataset": self.dataset.fingerprint,
            "split": self.split.fingerprint,
            "features": self.features.fingerprint,
            "protocol": self.protocol.fingerprint,
            **users,
            **teacher,
        }

    @property
    def identity(self) -> dict[str, str]:
        """What the checkpoints of this experiment belong to."""
        own = {"config": config_hash(self.config), "backend": self.backend}
        return own | self.fingerprints

    def open_test(self, reason: str, log: RunLog) -> Interactions:
        """Open the sealed test part and leave a trace in the log."""
        log.event("test_opened", f"Test part opened: {reason}", {"reason": reason})
        return self.split.test.open(reason)


def _already_finished(config: RunConfig, out: Path, resume: bool) -> bool:
    """Refuse a folder that holds another run, or one that was not asked to be resumed."""
    path = out / "config.json"
    if not path.exists():
        return False
    if not resume:
        raise ConfigError(
            f"{out} already holds a run. Add --resume to go on with it, or choose another --out."
        )
    different = differing_settings(path, config)
    if different:
        raise ConfigError(
            f"{out} holds a run of another configuration: {', '.join(different)} differ. Resume "
            f"it with {path}, or choose another --out."
        )
    return (out / "result.json").exists()


def prepare(config: RunConfig, log: RunLog) -> Prepared:
    """Load, split and encode.

    Raises:
        ConfigError: settings contradict each other, the data or the machine.
        DataError: the data do not hold what the configuration says.
    """
    started_in = environment()
    device = checks.device_of(config.run.device)
    protocol = protocol_of(config.evaluation)
    names = (config.model.name, *config.evaluation.baselines)
    model_class, *baselines = (resolve(name, MODELS, "model") for name in names)
    checks.require_readers(config, model_class)
    models = dict(zip(names, (model_class, *baselines), strict=True))
    checks.require_token_readers(config, models)
    with log.stage("load"):
        dataset = load(config.data)
        log.steps(dataset.steps)
    with log.stage("split"):
        parts = split(dataset, config.split)
        log.steps(parts.steps)
        sizes = f"{len(parts.train):,} / {len(parts.valid):,} / {len(parts.test):,}"
        log.event("split", f"Split {parts.rule}: {sizes} train / valid / test")
    require_measurable(config.split, protocol, parts, models.values())
    checks.require_cut_offs(config, protocol, len(dataset.item_ids))
    checks.require_room(config, models, parts.train)
    log_left_out(parts, log)
    with log.stage("encode"):
        encoded = _encode_items(config, dataset, parts.train, {}, log)
        features = _changed(config, encoded, dataset, parts.train, log)
        users = _encode_users(config, dataset, parts.train, log)
    return Prepared(config, dataset, parts, encoded, features, users, protocol, device, started_in)


def with_settings(prepared: Prepared, config: RunConfig, log: RunLog) -> Prepared:
    """The same data under other settings; only content whose settings differ is encoded anew.

    Raises:
        ConfigError: the content is not what the new settings need.
    """
    before, data, train = prepared.config, prepared.dataset, prepared.split.train
    if _what_content_follows_from(config) != _what_content_follows_from(before):
        encoded = _encode_items(config, data, train, prepared.encoded, log)
        features = _changed(config, encoded, data, train, log)
        prepared = replace(prepared, encoded=encoded, features=features)
    if config.user_features != before.user_features:
        users = _encode_users(config, data, train, log)
        prepared = replace(prepared, user_features=users)
    return replace(prepared, config=config)


def _what_content_follows_from(config: RunConfig) -> tuple[object, ...]:
    seed = config.run.seed if config.controls else None
    return config.features, config.controls, config.missing, seed


def _encode_items(
    config: RunConfig,
    dataset: Dataset,
    train: Interactions,
    known: Mapping[str, Encoded],
    log: RunLog,
) -> dict[str, Encoded]:
    """Encode the modalities that are not known yet; the others stay known, in use or not."""
    fresh = {
        name: settings
        for name, settings in config.features.items()
        if name not in known or known[name][0] != settings
    }
    features = encode(dataset, fresh, train)
    _log_features(log, "Features", features, "items")
    return {**known, **{name: (fresh[name], modality) for name, modality in features.items()}}


def _encode_users(
    config: RunConfig, dataset: Dataset, train: Interactions, log: RunLog
) -> Features:
    users = encode(dataset, config.user_features, train, side="users")
    _log_features(log, "User features", users, "users")
    return users


def _changed(
    config: RunConfig,
    encoded: Mapping[str, Encoded],
    dataset: Dataset,
    train: Interactions,
    log: RunLog,
) -> Features:
    """Apply ``[controls]``, then remove and fill what ``[missing]`` says."""
    chosen = {name: encoded[name][1] for name in config.features}
    features = Features(chosen, len(dataset.item_ids))
    features = controlled(features, config.controls, config.run.seed)
    features, changes = remove_and_fill(features, train, config.missing)
    for change in changes:
        log.event("missing", str(change), change.details)
    return features


def _log_features(log: RunLog, title: str, features: Features, side: Side) -> None:
    for name, modality in features.items():
        found, count = int(modality.present.sum()), len(modality.present)
        width = modality.values.shape[1]
        log.event("features", f"{title} {name}: {width} wide, {found:,} of {count:,} {side}")


def build(config: ModelConfig, prepared: Prepared) -> Model:
    """Make a model; it is given the training part and nothing else of the split."""
    model_class = resolve(config.name, MODELS, "model")
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
) -> FitResult:
    """Solve or train; the epoch is chosen by the rule of the protocol.

    ``watch`` is told every score of the metric that chooses, and ends training if it raises.
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
    )


def fit_baselines(prepared: Prepared, log: RunLog) -> dict[str, Model]:
    """Fit the baselines, with their default settings, on the same split."""
    models = {}
    for name in prepared.config.evaluation.baselines:
        model = build(resolve(name, MODELS, "model").Config(name=name), prepared)
        fit_model(model, prepared, log)
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
