"""Make or join a study in its storage, count its trials, and queue lost trials again."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from traceback import walk_tb

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from graphrec.config import RunConfig
from graphrec.config.file import differing_keys
from graphrec.config.identity import experiment_settings
from graphrec.config.space import Values
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.processes import is_alive, is_here, this_process
from graphrec.tuning.objective import direction
from graphrec.tuning.samplers import pruner_of, sampler_of

HEARTBEAT_SECONDS = 20
"""Seconds between two heartbeats of a worker; without several of them it counts as dead."""

LOCK_SECONDS = 60
"""Seconds that a worker waits for another one that writes to the same SQLite file."""

OPENINGS = 20
"""Attempts to open a new database while other processes make its tables."""

GRACE_SECONDS = 4 * HEARTBEAT_SECONDS
"""Seconds without a heartbeat after which a worker counts as gone."""

HERE = this_process()
"""This process, as an attribute of its trials."""

ATTEMPTS = 3
"""Number of workers that may die in a trial before it is not tried again."""

NOTES: Mapping[str, type[int] | type[str]] = {
    "attempt": int,
    "epochs": int,
    "best_epoch": int,
    "parameters": int,
    "why": str,
    "error": str,
    "stopped": str,
}
"""Attributes of trials that graphrec writes, and their types."""


def connect(storage: str) -> BaseStorage:
    """Open a database by its URL, or a journal file by its path.

    Raises:
        DataError: it does not exist, is locked, or its driver is not installed.
    """
    with storage_errors(storage):
        if "://" not in storage:
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(storage))
        return _database(storage)


def _database(url: str) -> RDBStorage:
    """Open a database, and make its tables unless another process is making them."""
    is_file = url.startswith("sqlite:///")
    if is_file:
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    openings = 0
    while True:
        openings += 1
        try:
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}} if is_file else None,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=try_again,
            )
        except DBAPIError as error:
            made_twice = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not made_twice or openings == OPENINGS:
                raise
            time.sleep(0.2)


@contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Turn errors of the storage into one sentence, even those that optuna wraps in others."""
    try:
        yield
    except (ConfigError, DataError):
        raise
    except ImportError as error:
        raise DataError(
            f"The storage {storage} needs a database driver: {error.__cause__ or error}. Install "
            f"it, for example psycopg[binary] for postgresql://, or use the default storage."
        ) from error
    except Exception as error:
        cause = _storage_cause(error)
        if cause is None:
            raise
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise DataError(
            f"The storage of the study, {storage}, cannot be used: {reason}. Make sure that it is "
            f"there, whole, writable and not locked; the same command goes on."
        ) from error


def _storage_cause(error: BaseException | None) -> BaseException | None:
    """Return the innermost error of the storage among an error and its causes.

    A damaged file makes optuna's storages raise any kind of error.
    """
    innermost = None
    while error is not None:
        frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
        in_storage = any(name.startswith("optuna.storages") for name in frames)
        if isinstance(error, SQLAlchemyError | OSError) or in_storage:
            innermost = error
        error = error.__cause__ or error.__context__
    return innermost


def study_of(
    storage: str, config: RunConfig, objectives: Sequence[str], fingerprints: Mapping[str, str]
) -> optuna.Study:
    """Make the study of a configuration, or join it where it exists.

    Raises:
        ConfigError: a study of this name was made with another configuration or other data.
        DataError: the storage cannot be used.
    """
    name = name_of(config)
    opened = connect(storage)
    with storage_errors(storage):
        study = optuna.create_study(
            storage=opened,
            study_name=name,
            directions=[direction(objective) for objective in objectives],
            sampler=sampler_of(config),
            pruner=pruner_of(config.tune),
            load_if_exists=True,
        )
        settings = experiment_settings(config, searched=True)
        identity = {"config": settings, "fingerprints": dict(fingerprints)}
        known = study.user_attrs.get("identity")
        if known is None:
            study.set_user_attr("identity", identity)
            study.set_user_attr("objectives", list(objectives))
            study.set_metric_names(list(objectives))
            return study
        _require_sound(study, objectives, storage)
    different = differing_keys(known, _as_known(json.loads(json.dumps(identity)), known))
    if different:
        raise ConfigError(
            f"The study {name!r} in {storage} was made with another configuration or other data: "
            f"{', '.join(different)} differ. Go on with those, or choose another --out, --storage "
            f"or run.name."
        )
    return study


def _require_sound(study: optuna.Study, objectives: Sequence[str], storage: str) -> None:
    """Refuse a study whose attributes are not those that graphrec writes.

    Raises:
        DataError: its objectives or the workers of its trials are damaged.
    """
    trials = study.get_trials(deepcopy=False)
    workers = [trial.user_attrs.get("worker", HERE) for trial in trials]
    sound = all(
        isinstance(worker, dict)
        and isinstance(worker.get("host"), str)
        and isinstance(worker.get("pid"), int)
        for worker in workers
    )
    sound = sound and all(
        isinstance(trial.user_attrs.get(name, kind()), kind)
        for trial in trials
        for name, kind in NOTES.items()
    )
    sound = sound and all(isinstance(name, str) for trial in trials for name in trial.params)
    if not sound or study.user_attrs.get("objectives") != list(objectives):
        raise DataError(
            f"The storage of the study, {storage}, is damaged: what is noted beside its trials is "
            f"not what graphrec writes. Choose another --out or --storage."
        )


def _as_known(identity: dict[str, Json], known: Mapping[str, Json]) -> Json:
    """Return the identity in the form of the study that is joined.

    Before schema version 2 it had no [data] and features, and it had the label of the run.
    """
    old, new = known["config"], identity["config"]
    if not isinstance(old, dict) or not isinstance(new, dict) or "data" in old:
        return identity
    reduced = {key: new.get(key, value) for key, value in old.items()}
    run, old_run = new.get("run", {}), old.get("run", {})
    if isinstance(run, dict) and isinstance(old_run, dict) and "name" in old_run:
        reduced["run"] = run | {"name": old_run["name"]}
    return identity | {"config": reduced}


def name_of(config: RunConfig) -> str:
    """Return the name of the study in its storage: the label of the run."""
    return config.run.name or config.model.name


def is_ready(opened: BaseStorage, config: RunConfig) -> bool:
    """Return whether there is a study to join, with a filled queue."""
    if name_of(config) not in optuna.get_all_study_names(opened):
        return False
    study = optuna.load_study(study_name=name_of(config), storage=opened)
    return bool(study.user_attrs.get("ready"))


def enqueue(study: optuna.Study, points: Sequence[Values], why: str) -> None:
    """Try these values before the sampler's proposals, unless they are queued already."""
    queued = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False)]
    for values in points:
        if values not in queued:
            study.enqueue_trial(values, user_attrs={"why": why})
            queued.append(values)


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Put the settings of a lost trial back into the queue, up to ``ATTEMPTS`` times."""
    attempt = int(trial.user_attrs.get("attempt", 1))
    if attempt < ATTEMPTS:
        _queue(study, trial, attempt + 1)


def requeue_surplus(study: optuna.Study, number: int) -> None:
    """Put a surplus trial back if it came from the queue: the budget may grow later."""
    trial = study.get_trials(deepcopy=False)[number]
    if "fixed_params" in trial.system_attrs:
        _queue(study, trial, int(trial.user_attrs.get("attempt", 1)))


def _queue(study: optuna.Study, trial: FrozenTrial, attempt: int) -> None:
    values = trial.system_attrs.get("fixed_params") or trial.params
    why = {"why": trial.user_attrs.get("why", "sampler"), "attempt": attempt}
    study.enqueue_trial(values, user_attrs=why)


def reclaim(study: optuna.Study) -> None:
    """Find trials whose worker is gone, and try them again.

    A dead process on this machine is found at once; on others its heartbeat is missing.
    """
    optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_gone(trial):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            continue  # another worker was faster
        try_again(study, trial)


def _is_gone(trial: FrozenTrial) -> bool:
    """Return whether the worker of a running trial is known to have ended.

    A worker that has not even signed its trial was killed right after it started the trial.
    """
    process = trial.user_attrs.get("worker")
    if process is not None:
        return is_here(process) and not is_alive(process)
    started = trial.datetime_start
    return started is not None and (datetime.now() - started).total_seconds() > GRACE_SECONDS
