"""The record of a study, and its line in a results file."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.core.records import Record
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.result import Result
from graphrec.report.tables import RUN_KEY, append_records, identity_columns, version_columns


@dataclass(frozen=True)
class StudyResult(Record):
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

    content = "study"

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
    schema_version: int = 1

    @classmethod
    def lacks(cls, table: dict[str, Json]) -> str:
        """Say that there is no objective; empty if there is one."""
        return "" if table["objectives"] else "it has no objective"


def mean_and_deviation(results: Sequence[Result], part: str) -> dict[str, list[float]]:
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
        **version_columns(result.environment),
    }


def read_study(folder: Path) -> StudyResult:
    """Read the record of a finished study.

    Raises:
        DataError: there is none, or another graphrec wrote it.
    """
    try:
        return StudyResult.read(RunFolder(folder).study, "Tune again in another folder.")
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no finished study: there is no study.json.") from error
