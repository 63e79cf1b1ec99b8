"""What a study leaves: a table of trials, ``study.json``, and the winner's configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
import polars as pl
from optuna.trial import FrozenTrial, TrialState

from graphrec.config import RunConfig
from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.core.files import write_bytes, write_parquet
from graphrec.experiment.result import Result, openings_of
from graphrec.report.tables import table_csv
from graphrec.tuning.result import StudyResult, mean_and_deviation
from graphrec.tuning.trials import counted, is_lost, seconds_of, without_surplus

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


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
        valid=_by_name(finals, "valid"),
        test=_by_name(finals, "test"),
        test_openings=openings_of(finals.values()),
        config_hash=experiment_identity(config, searched=True),
    )


def _by_name(
    finals: Mapping[str, Sequence[Result]], part: str
) -> dict[str, dict[str, list[float]]]:
    """Return mean and deviation of every metric on a part, for each finally trained setting."""
    return {name: mean_and_deviation(results, part) for name, results in finals.items() if results}
