"""Which fusion is best: backbone x where x how, each cell tuned by the same budget."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from graphrec.config import RunConfig, TuneConfig
from graphrec.config.file import read_table
from graphrec.config.identity import (
    differing_settings,
    experiment_identity,
    relocated,
    require_same,
    stored_config,
)
from graphrec.config.run import validate
from graphrec.core.claim import claimed
from graphrec.core.environment import environment
from graphrec.core.errors import ConfigError, DataError, TrainingError
from graphrec.core.files import write_json
from graphrec.core.processes import stoppable
from graphrec.core.progress import track
from graphrec.core.run_folder import RunFolder
from graphrec.evaluation import METRICS, parse_metric
from graphrec.evaluation.metrics import expand
from graphrec.evaluation.significance import compare, holm
from graphrec.experiment.fit import build
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import Result, openings_of
from graphrec.experiment.series import train_replicates
from graphrec.studies.fusion_cells import Axes, Cell, Plan, plan_of
from graphrec.studies.fusion_record import AxisMean, CellResult, GridResult, write_grid
from graphrec.studies.study import per_user
from graphrec.tuning.objective import objectives_of
from graphrec.tuning.result import StudyResult, mean_and_deviation, read_study
from graphrec.tuning.search import require_valid, start
from graphrec.tuning.work import withhold_test

FINISHED = ("complete", "pruned", "failed")
"""States of the trials that count for the budget."""


def run_grid(
    config: RunConfig, axes: Axes, out: Path, *, tuned: bool = True, workers: int = 1
) -> GridResult:
    """Tune every cell by ``config.tune``, train all with fresh seeds, then open test, once.

    The reference is the configuration as it stands, tuned like the others. Nothing is chosen on
    test. What configuration, model or data refuse is skipped and the reason kept. The same call
    goes on with a grid that was interrupted, or whose axes, trials or seeds have grown.

    Args:
        tuned: without it every cell keeps the settings of ``config``: an equal budget of zero.
        workers: processes on this machine.

    Raises:
        ConfigError: axes or space are not sound, no cell is left, budgets are not equal, or
            ``out`` holds another grid.
        DataError: the data are not sound, or no trial of the reference was completed.
    """
    log, started_in = RunLog(), environment()
    require_same(out, config, "fusion", searched=tuned)
    plan = plan_of(config, axes, tuned=tuned)
    with stoppable(), claimed(out):
        whole = prepare(config, log)
        prepared = withhold_test(whole)
        metric = _metric_of(prepared)
        _require_modalities(prepared)
        plan = _buildable(plan, prepared)
        write_json(RunFolder(out).config, config.model_dump(mode="json"))
        log.write_to(RunFolder(out).log)
        studies: dict[str, StudyResult] = {}
        if tuned:
            studies, plan = _tune_all(plan, out, workers, whole.fingerprints, log)
        settings = {
            cell.name: _winner(out / cell.name, config) if tuned else _as_it_stands(cell.config)
            for cell in plan.cells
        }
        finals = train_replicates(
            settings, config.tune.final_seeds, out / "final", workers, log, whole
        )
    some = finals[plan.reference]
    cells = _measured(plan, studies, finals, out, metric)
    result = GridResult(
        name=config.run.name or config.model.name,
        model=config.model.name,
        dataset=some[0].dataset,
        metric=metric,
        budget={
            "trials": config.tune.trials if tuned else 0,
            "seconds": config.tune.seconds if tuned else None,
        },
        seeds=[each.seed for each in some],
        reference=plan.reference,
        best=max(cells, key=lambda cell: cell.valid[metric][0]).name,
        cells=cells,
        skipped=plan.skipped,
        means=list(_means(cells, metric)),
        fingerprints=some[0].fingerprints,
        environment=started_in,
        test_openings=openings_of(finals.values()),
    )
    write_grid(out, result)
    return result


def _metric_of(prepared: Prepared) -> str:
    """What cells are tuned by and compared in: a metric that every user has a value of."""
    require_valid(prepared)
    config = prepared.config
    name = objectives_of(config, prepared.protocol.valid_metric)[0]
    measured = expand(config.evaluation.metrics, config.evaluation.top_k)
    if name not in measured:
        raise ConfigError(
            f"Cells are compared in what they are tuned by, {name!r}, and it is not measured. Add "
            f"it to evaluation.metrics, or set tune.objectives or evaluation.valid_metric."
        )
    metric = METRICS[parse_metric(name)[0]]
    if metric.per == "lists" or not metric.higher_is_better:
        raise ConfigError(
            f"Cells are compared in what they are tuned by, and {name!r} is no accuracy of each "
            f"user. Set tune.objectives or evaluation.valid_metric to one like 'ndcg@20'."
        )
    return name


def _require_modalities(prepared: Prepared) -> None:
    with_values = [name for name, each in prepared.features.items() if each.values.shape[1]]
    if len(with_values) < 2:
        raise ConfigError(
            f"Fusion needs two or more modalities with values, but there are {len(with_values)}: "
            f"every cell would be the same. Add a [features.NAME] table."
        )


def _buildable(plan: Plan, prepared: Prepared) -> Plan:
    """Skip the cells whose model cannot be made from the data.

    Raises:
        ConfigError: that of the reference cannot, or no cell of the grid is left.
    """
    cells, skipped = [], dict(plan.skipped)
    for cell in track(plan.cells, "Checking the cells"):
        try:
            build(cell.config.model, prepared)
            cells.append(cell)
        except ConfigError as error:
            if cell.name == plan.reference:
                raise
            skipped[cell.name] = str(error)
    if not any(cell.in_grid for cell in cells):
        name, reason = next(iter(skipped.items()))
        raise ConfigError(f"No cell of the grid can be run. The first, {name}: {reason}")
    return replace(plan, cells=cells, skipped=skipped)


def _tune_all(
    plan: Plan, out: Path, workers: int, fingerprints: Mapping[str, str], log: RunLog
) -> tuple[dict[str, StudyResult], Plan]:
    """A study for each cell, by the same budget; a cell that has no winner is skipped.

    Raises:
        DataError: the reference has none.
        ConfigError: a folder holds a study of a larger budget.
    """
    studies, failed = {}, {}
    for cell in track(plan.cells, "Cells"):
        log.event("cell", f"Cell {cell.name}", {"cell": cell.name, "left_out": [*cell.left_out]})
        try:
            studies[cell.name] = _tuned(cell, out / cell.name, workers, fingerprints)
        except (DataError, TrainingError) as error:
            if cell.name == plan.reference:
                raise
            failed[cell.name] = f"failed: {error}"
    _require_equal(studies, plan.cells[0].config.tune)
    left = [cell for cell in plan.cells if cell.name in studies]
    return studies, replace(plan, cells=left, skipped=plan.skipped | failed)


def _tuned(cell: Cell, folder: Path, workers: int, fingerprints: Mapping[str, str]) -> StudyResult:
    """The study of a cell; one that is finished is only read."""
    finished = RunFolder(folder).study.exists()
    if finished and not differing_settings(stored_config(folder), cell.config, searched=True):
        study, tune = read_study(folder), cell.config.tune
        budget = {"trials": tune.trials, "seconds": tune.seconds}
        if study.budget == budget and study.fingerprints == fingerprints:
            return study
    return start(cell.config, folder, workers)


def _require_equal(studies: Mapping[str, StudyResult], tune: TuneConfig) -> None:
    """Refuse cells that were searched for longer than others.

    Seconds end a study after any number of trials, and a grid sampler when its points are used up.
    """
    if tune.seconds is not None or tune.sampler == "grid":
        return
    for name, study in studies.items():
        done = _num_trials(study)
        if done != tune.trials:
            raise ConfigError(
                f"The budget would not be equal: cell {name} has {done} trials, and "
                f"{tune.trials} are asked for. Set --trials {done}, or choose another --out."
            )


def _num_trials(study: StudyResult) -> int:
    return sum(study.trials[state] for state in FINISHED)


def _winner(study: Path, config: RunConfig) -> RunConfig:
    """The winner of a study, with its files where they lie now."""
    return relocated(validate(read_table(study / "best.json")), config)


def _as_it_stands(config: RunConfig) -> RunConfig:
    """Without what only ``tune`` reads, so that another budget is no other run."""
    return config.model_copy(update={"search": {}, "tune": TuneConfig()})


def _measured(
    plan: Plan,
    studies: Mapping[str, StudyResult],
    finals: Mapping[str, Sequence[Result]],
    out: Path,
    metric: str,
) -> list[CellResult]:
    """The record of every cell, and its difference to the reference."""
    _, values = per_user(finals, metric, out / "final")
    theirs = values[plan.reference]
    differences = {
        name: compare(ours, theirs) for name, ours in values.items() if name != plan.reference
    }
    adjusted = dict(zip(differences, holm([each.p for each in differences.values()]), strict=True))
    found = []
    for cell in plan.cells:
        results, study = finals[cell.name], studies.get(cell.name)
        found.append(
            CellResult(
                name=cell.name,
                settings=cell.settings,
                left_out=cell.left_out,
                in_grid=cell.in_grid,
                trials=_num_trials(study) if study else 0,
                seconds=study.seconds if study else 0.0,
                fit_seconds=statistics.fmean(each.seconds["fit"] for each in results),
                parameters=results[0].num_parameters,
                best_params=study.best_params if study else {},
                valid=mean_and_deviation(results, "valid"),
                test=mean_and_deviation(results, "test"),
                difference=differences.get(cell.name),
                p_holm=adjusted.get(cell.name),
                config_hash=experiment_identity(cell.config, searched=study is not None),
                fingerprints=[each.fingerprints for each in results],
            )
        )
    return found


def _means(cells: Sequence[CellResult], metric: str) -> Iterator[AxisMean]:
    """Each value of each axis, on average over the cells of the grid that have it."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in cells:
        if cell.in_grid:
            for key in cell.settings.items():
                groups.setdefault(key, []).append(cell)
    for (setting, value), members in sorted(groups.items()):
        valid, test = (
            statistics.fmean(part[metric][0] for part in parts)
            for parts in ([m.valid for m in members], [m.test for m in members])
        )
        yield AxisMean(setting, value, len(members), valid, test)
