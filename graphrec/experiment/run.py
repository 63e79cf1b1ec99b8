"""The flow, on one screen: load, split, encode, build, fit, evaluate, write the result.

raw files -> Dataset -> Split (train, valid, sealed test) -> Features -> Model -> fit on train and
valid -> the test part is opened -> Result.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from graphrec.config import RunConfig
from graphrec.config.identity import experiment_identity
from graphrec.core.claim import claimed
from graphrec.core.config import Json
from graphrec.core.files import write_json
from graphrec.core.run_folder import RunFolder
from graphrec.data import Interactions
from graphrec.evaluation import Evaluation
from graphrec.experiment.baselines import better_baselines
from graphrec.experiment.fit import build, fit_baselines, fit_model
from graphrec.experiment.folder import (
    fingerprints_in,
    finished_result,
    holds_result_of,
    require_same_data,
)
from graphrec.experiment.log import RunLog, openings_in
from graphrec.experiment.measure import _evaluate, measure_test, measure_valid
from graphrec.experiment.prepare import prepare
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import BetterBaseline, Result, read_result
from graphrec.experiment.tables import recommended, summarise, write_tables
from graphrec.experiment.teacher import with_distillation, with_teacher
from graphrec.models import Model
from graphrec.training import FitResult, require_resumable


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
        write_json(RunFolder(out).config, config.model_dump(mode="json"))
        return result
    earlier = RunFolder(out).log if resume else None
    if not RunFolder(out).checkpoint.exists():  # which knows its data itself
        require_same_data(out, fingerprints_in(earlier), prepared.fingerprints)
    prepared = with_teacher(prepared, log)
    prepared.split.test.openings += openings_in(earlier)
    policy = prepared.checkpoint_in(out, resume, keep_last=True)
    require_resumable(policy, config.training)
    with log.stage("build"):
        model = build(config.model, prepared)
        learner = with_distillation(model, prepared)
    write_json(RunFolder(out).config, config.model_dump(mode="json"))
    log.write_to(RunFolder(out).log)
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
    result.write(RunFolder(out).result)
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
    """Return the baselines that are better than the model by the metric that chooses epochs.

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
