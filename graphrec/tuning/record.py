"""What a study leaves: a table of trials, ``study.json``, and the winner's configuration."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import optuna
import polars as pl
from optuna.trial import FrozenTrial, TrialState

from graphrec.config import RunConfig
from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.core.files import write_bytes, write_json, write_parquet
from graphrec.core.shapes import misfit, read_object
from graphrec.experiment.result import Result, openings_of
from graphrec.report.tables import RUN_KEY, append_records, identity_columns, table_csv
from graphrec.tuning.trials import counted, is_lost, seconds_of, without_surplus

SCHEMA_VERSION = 1
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class StudyResult:
    """All of ``study.json``. Field names are a stable surface.

    Attributes:
        objectives: ``{name: maximize or minimize}``, measured on valid.
        budget: ``trials`` and ``seconds`` as they were asked for.
        trials: how many are ``complete``, ``pruned``, ``failed``, and ``lost`` with their worker.
        seconds: of all trials together, the lost ones included: the cost of the search.
        workers: processes that took trials.
        own: values of the configuration as it stood, by objective; empty if that trial failed.
        best: likewise of the winner; with several objectives the best by the first of them.
        best_trial: its number. front: numbers of all trials that no other one beats.
        best_params: the settings that were searched.
        config_hash: identity of the experiment and its space, without the budget.
        valid, test: ``{"own" or "best": {metric: [mean, standard deviation]}}`` of the final
            training with ``seeds`` fresh seeds; empty if there was none.
        test_openings: every reason for which the test part was opened.
    """

    name: str
    model: str
    dataset: str
    objectives: dict[str, str]
    sampler: str
    pruner: str
    budget: dict[str, float | None]
    trials: dict[str, int]
    seconds: float
    workers: int
    own: dict[str, float]
    best: dict[str, float]
    best_trial: int
    front: list[int]
    best_params: dict[str, bool | int | float | str]
    fingerprints: dict[str, str]
    environment: dict[str, Json]
    seeds: list[int] = field(default_factory=list)
    valid: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    test: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    test_openings: list[str] = field(default_factory=list)
    config_hash: str = ""
    schema_version: int = SCHEMA_VERSION


def best_of(study: optuna.Study) -> FrozenTrial:
    """The winner; of several objectives the first decides.

    Raises:
        DataError: no trial was completed; the first error is shown.
    """
    complete = [each for each in counted(study) if _complete(each)]
    if not complete:
        errors = [each.user_attrs["error"] for each in counted(study) if "error" in each.user_attrs]
        first = f"The first error was: {errors[0]}" if errors else "The budget was too small."
        raise DataError(f"No trial of the study {study.study_name!r} was completed. {first}")
    largest = study.directions[0] == optuna.study.StudyDirection.MAXIMIZE
    ordered = sorted(complete, key=lambda each: each.values[0], reverse=largest)
    return ordered[0]  # sorting is stable: of equal ones the earliest


def front_of(study: optuna.Study) -> list[int]:
    """Numbers of the trials that no other one beats in every objective."""
    if len(study.directions) == 1:
        return [best_of(study).number]
    return sorted(trial.number for trial in study.best_trials)


def trial_table(study: optuna.Study) -> pl.DataFrame:
    """One row per trial, lost ones included: state, values, settings, costs, worker, error."""
    objectives = study.user_attrs["objectives"]
    rows = []
    for trial in without_surplus(study):
        told = trial.user_attrs
        values = trial.values if _complete(trial) else None
        last = trial.last_step
        rows.append(
            {
                "number": trial.number,
                "state": "lost" if is_lost(trial) else trial.state.name.lower(),
                **dict(zip(objectives, values or [None] * len(objectives), strict=True)),
                "last_score": None if last is None else trial.intermediate_values[last],
                "epochs": told.get("epochs"),
                "best_epoch": told.get("best_epoch"),
                "trial_seconds": round(seconds_of([trial]), 3),
                "parameters": told.get("parameters"),
                "why": told.get("why", "sampler"),
                "started": trial.datetime_start,
                "worker": _worker(trial),
                "error": told.get("error") or told.get("stopped"),
                **trial.params,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _complete(trial: FrozenTrial) -> bool:
    """Whether its values are final: those of a pruned one are what it had reached."""
    return trial.state == TrialState.COMPLETE


def _worker(trial: FrozenTrial) -> str:
    process = trial.user_attrs.get("worker", {"host": "", "pid": ""})
    return f"{process['host']}/{process['pid']}"


def write_trials(out: Path, study: optuna.Study) -> None:
    """Write ``trials.parquet`` and ``trials.csv``."""
    table = trial_table(study)
    write_parquet(out / "trials.parquet", table)
    write_bytes(out / "trials.csv", table_csv(table))


def summarise(
    study: optuna.Study,
    config: RunConfig,
    fingerprints: Mapping[str, str],
    finals: Mapping[str, Sequence[Result]],
    environment: dict[str, Json],
) -> StudyResult:
    """Gather the record of a study."""
    trials = without_surplus(study)
    states = {name: sum(t.state == state for t in counted(study)) for name, state in STATES.items()}
    best = best_of(study)
    names = list(study.user_attrs["objectives"])
    own = [each for each in trials if each.user_attrs.get("why") == "own" and _complete(each)]
    some = next(iter(finals.values()), [])
    return StudyResult(
        name=study.study_name,
        model=config.model.name,
        dataset=some[0].dataset if some else config.data.name or str(config.data.path),
        objectives=dict(zip(names, (d.name.lower() for d in study.directions), strict=True)),
        sampler=config.tune.sampler,
        pruner=config.tune.pruner,
        budget={"trials": config.tune.trials, "seconds": config.tune.seconds},
        trials=states | {"lost": sum(is_lost(each) for each in trials)},
        seconds=seconds_of(trials),
        workers=len({_worker(trial) for trial in counted(study)}),
        own=dict(zip(names, own[0].values, strict=True)) if own else {},
        best=dict(zip(names, best.values, strict=True)),
        best_trial=best.number,
        front=front_of(study),
        best_params=dict(best.params),
        fingerprints=dict(fingerprints),
        environment=environment,
        seeds=[result.seed for result in some],
        valid={name: spread(results, "valid") for name, results in finals.items() if results},
        test={name: spread(results, "test") for name, results in finals.items() if results},
        test_openings=openings_of(finals.values()),
        config_hash=experiment_identity(config, searched=True),
    )


def spread(results: Sequence[Result], part: str) -> dict[str, list[float]]:
    """Mean and standard deviation of every metric over the seeds."""
    found = {}
    for name in results[0].metrics[part]:
        values = [result.metrics[part][name] for result in results]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        found[name] = [statistics.fmean(values), deviation]
    return found


STUDY_KEY = ("name", *RUN_KEY, "sampler", "budget_trials", "budget_seconds", "commit")
"""Columns of a results file that identify a study."""

APPENDED = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def append_studies(path: Path, results: Sequence[StudyResult]) -> int:
    """Add one line per study to a results file, unless it stands there; return how many.

    Raises:
        DataError: the file has other columns, or cannot be written.
    """
    return append_records(path, [_line(result) for result in results], STUDY_KEY)


def _line(result: StudyResult) -> dict[str, str]:
    name, way = next(iter(result.objectives.items()))
    versions, git = result.environment["versions"], result.environment["git"]
    assert isinstance(versions, dict)
    assert isinstance(git, dict)
    measured = {"valid": result.valid, "test": result.test}
    figures = {
        f"{part} {which} {metric}": " ".join(f"{value:.6f}" for value in found[which][metric])
        if metric in found.get(which, {})
        else ""
        for part, found in measured.items()
        for which in ("own", "best")
        for metric in APPENDED
    }
    return {
        "name": result.name,
        "model": result.model,
        "dataset": result.dataset,
        "objective": f"{way} {name}",
        "sampler": result.sampler,
        "pruner": result.pruner,
        "budget_trials": str(result.budget["trials"]),
        "budget_seconds": str(result.budget["seconds"] or ""),
        **{state: str(count) for state, count in result.trials.items()},
        "seconds": f"{result.seconds:.0f}",
        "workers": str(result.workers),
        "own": f"{result.own[name]:.6f}" if name in result.own else "",
        "best": f"{result.best[name]:.6f}",
        "best_trial": str(result.best_trial),
        "best_params": json.dumps(result.best_params),
        "seeds": " ".join(map(str, result.seeds)),
        **figures,
        **identity_columns(result.config_hash, [result.fingerprints]),
        "graphrec": str(versions["graphrec"]),
        "torch": str(versions["torch"]),
        "commit": str(git.get("commit", ""))[:12] + ("+" if git.get("dirty") else ""),
    }


def write_study(path: Path, result: StudyResult) -> None:
    """Write ``study.json``."""
    write_json(path, cast(Json, asdict(result)))


def read_study(folder: Path) -> StudyResult:
    """Read the record of a finished study.

    Raises:
        DataError: there is none, or another graphrec wrote it.
    """
    path = folder / "study.json"
    try:
        content = read_object(path, "Tune again in another folder.")
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no finished study: there is no study.json.") from error
    wrong = misfit(content, StudyResult)
    if content.get("schema_version") != SCHEMA_VERSION:
        wrong = f"its schema version is not {SCHEMA_VERSION}"
    if wrong or not content["objectives"]:
        raise DataError(f"{path} cannot be read as a study: {wrong or 'it has no objective'}.")
    return StudyResult(**content)  # type: ignore[arg-type]
