"""The flow of a study: prepare without test, search, train the winner, open test, report."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import polars as pl
from optuna.trial import FrozenTrial, TrialState

from graphrec.config import RunConfig
from graphrec.config.identity import require_same, stored_config
from graphrec.config.space import Space, Values, space_of
from graphrec.core.claim import claimed
from graphrec.core.environment import environment
from graphrec.core.errors import ConfigError
from graphrec.core.files import read_parquet, write_json
from graphrec.core.names import quantity
from graphrec.core.processes import stoppable
from graphrec.core.progress import step, track
from graphrec.core.rng import numpy_stream
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.checks import require_no_teacher
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.series import train_replicates
from graphrec.tuning.objective import Objective, shown
from graphrec.tuning.record import best_of, front_of, summarise, write_trials
from graphrec.tuning.report import write_report
from graphrec.tuning.result import StudyResult, read_study
from graphrec.tuning.study import connect, enqueue, is_ready, name_of, storage_errors, study_of
from graphrec.tuning.trials import counted
from graphrec.tuning.work import Told, quiet, withhold_test, work, work_with

JOIN_SECONDS = 60
"""A worker waits so long for the study that it is to join."""

GRID_POINTS = 2000
"""More would take longer to queue than to think about."""


def start(
    config: RunConfig, out: Path, workers: int = 1, storage: str | None = None
) -> StudyResult:
    """Search, and write the study folder; see ``graphrec.tune``."""
    log, started_in = RunLog(), environment()
    storage = storage or f"sqlite:///{(out / 'study.db').absolute()}"
    with quiet(), stoppable(), claimed(out):
        objective, space, fingerprints = _prepare(config, log)
        require_same(out, config, "tune", searched=True)
        config = _under_its_name(config, out)
        study = study_of(storage, config, objective.names, fingerprints)
        with storage_errors(storage):
            _fill_queue(study, config, space, objective)
        write_json(RunFolder(out).config, config.model_dump(mode="json"))
        log.write_to(RunFolder(out).log)
        _announce(study, config, log)
        with step("Trials", config.tune.trials) as bar:
            told = _progress(study, bar.to)
            if workers == 1:
                work(study, objective, config.tune, storage, told)
            else:
                work_with(workers, out, storage, study, told)
        with storage_errors(storage):
            write_trials(out, study)
            settings = _write_winners(out, study, space, log)
        finals = train_replicates(settings, config.tune.final_seeds, out / "final", workers, log)
        result = summarise(study, config, fingerprints, finals, started_in)
        result.write(RunFolder(out).study)
        write_report(out, study, result)
    return result


def join(config: RunConfig, storage: str) -> None:
    """Take trials of a study that another process has made, until it is done.

    Raises:
        ConfigError: there is none.
    """
    log, deadline = RunLog(), time.monotonic() + JOIN_SECONDS
    with quiet(), stoppable():
        objective, _, fingerprints = _prepare(config, log)
        opened = connect(storage)
        while not is_ready(opened, config):
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{storage} holds no study {name_of(config)!r} to join. Start it first, "
                    f"without --join."
                )
            time.sleep(1)
        study = study_of(storage, config, objective.names, fingerprints)
        with step("Trials", config.tune.trials) as bar:
            work(study, objective, config.tune, storage, _progress(study, bar.to))


def _prepare(config: RunConfig, log: RunLog) -> tuple[Objective, Space, dict[str, str]]:
    """Load what trials need, once per worker: everything but the test part."""
    require_no_teacher(config, "tune")
    space, prepared = space_of(config), prepare(config, log)
    require_valid(prepared)
    return Objective(withhold_test(prepared), space, log), space, prepared.fingerprints


def require_valid(prepared: Prepared) -> None:
    """Refuse an experiment in which nothing can be chosen on valid."""
    selection = prepared.protocol.selection
    if selection != "valid":
        raise ConfigError(
            f"tune chooses on valid, but evaluation.selection is {selection!r}. Set "
            f"evaluation.selection = 'valid'."
        )
    if not len(prepared.split.valid):
        raise ConfigError("tune needs a validation part. Use split.kind with a valid share.")


def _under_its_name(config: RunConfig, out: Path) -> RunConfig:
    """The configuration with the label of the study in a folder, which names it in its storage."""
    if not RunFolder(out).config.exists():
        return config
    label = name_of(stored_config(out))
    return config.model_copy(update={"run": config.run.model_copy(update={"name": label})})


def _announce(study: optuna.Study, config: RunConfig, log: RunLog) -> None:
    """Say what is optimised, by whom and for how long."""
    names, ways = study.user_attrs["objectives"], [way.name.lower() for way in study.directions]
    goals = ", ".join(f"{way} {name} on valid" for way, name in zip(ways, names, strict=True))
    limit = f" or {config.tune.seconds:g} s" if config.tune.seconds else ""
    log.event(
        "study",
        f"Study {study.study_name}: {goals}; {config.tune.sampler}, pruner {config.tune.pruner}, "
        f"{quantity(config.tune.trials, 'trial')}{limit}; {len(counted(study))} done",
        {"objectives": names, "directions": list(ways), "trials": config.tune.trials},
    )


def _fill_queue(study: optuna.Study, config: RunConfig, space: Space, objective: Objective) -> None:
    """Check the space with the data, and queue what is tried before the sampler's proposals.

    First comes the configuration as it stands, then the best of earlier studies, then the grid.
    """
    if study.user_attrs.get("ready"):
        return
    for where, end in track(space.end_configs().items(), "Checking the search space"):
        objective.require_buildable(where, end)
    enqueue(study, [space.own], "own")
    for folder in config.tune.warm_start:
        values = _best_of_earlier(folder, space, config.tune.warm_trials)
        enqueue(study, values, f"warm start from {folder}")
    if config.tune.sampler == "grid":
        points = space.grid()
        if len(points) > GRID_POINTS:
            raise ConfigError(
                f"The grid has {len(points):,} points, more than {GRID_POINTS:,}. Give [search] "
                f"fewer values, or choose another tune.sampler."
            )
        order = numpy_stream(config.run.seed, "grid").permutation(len(points))
        enqueue(study, [points[index] for index in order], "grid")
    study.set_user_attr("ready", True)


def _best_of_earlier(folder: Path, space: Space, count: int) -> list[Values]:
    """The best settings of an earlier study, as far as they belong to this space.

    Raises:
        DataError: the folder holds no finished study.
    """
    name, way = next(iter(read_study(folder).objectives.items()))
    remedy = f"Take {folder} out of tune.warm_start."
    table = read_parquet(folder / "trials.parquet", ["state", name], remedy)
    complete = table.filter(pl.col("state") == "complete")
    rows = complete.sort(name, descending=way == "maximize").head(count).rows(named=True)
    return [space.nearest_to(row) for row in rows]


def _write_winners(
    out: Path, study: optuna.Study, space: Space, log: RunLog
) -> dict[str, RunConfig]:
    """Write configurations that run as they are; return what is to be trained in the end."""
    best = best_of(study)
    log.event("best", f"Best: trial {best.number}, {shown(best.params)}")
    trials = study.get_trials(deepcopy=False)
    files = {"best.json": best} | {f"trial-{n}.json": trials[n] for n in front_of(study)}
    for name, trial in files.items():
        write_json(out / name, space.config(trial.params).model_dump(mode="json"))
    settings = {"own": space.config(space.own), "best": space.config(best.params)}
    return settings if settings["own"] != settings["best"] else {"best": settings["best"]}


def _progress(study: optuna.Study, move: Callable[[int, str], None]) -> Told:
    """Show how many trials are finished, and the best one."""

    def told(trials: Sequence[FrozenTrial]) -> None:
        finished = [each for each in trials if each.state.is_finished()]
        note = ""
        if any(each.state == TrialState.COMPLETE for each in finished):
            best = best_of(study)
            note = f"best {best.values[0]:.4f} (trial {best.number})"
        move(len(finished), note)

    return told
