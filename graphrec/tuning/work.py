"""Workers: one takes trials until the budget is used up; several are processes of their own."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from graphrec.config import TuneConfig
from graphrec.core.errors import DataError
from graphrec.core.processes import POLL_SECONDS, run_processes
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.prepared import Prepared
from graphrec.tuning.objective import Objective
from graphrec.tuning.study import HERE, give_back, reclaim, storage_errors, try_again
from graphrec.tuning.trials import SURPLUS, counted, is_lost, seconds_left, without_surplus

Told = Callable[[Sequence[FrozenTrial]], None]
"""Is told the counted trials whenever they may have changed."""


def withhold_test(prepared: Prepared) -> Prepared:
    """The same experiment without its test part, and without interactions outside of train."""
    dataset = replace(prepared.dataset, interactions=prepared.split.train, parts=None)
    return replace(prepared, dataset=dataset, split=prepared.split.without_test())


def work(
    study: optuna.Study, objective: Objective, tune: TuneConfig, storage: str, told: Told
) -> None:
    """Take trials until the budget is used up and no other worker may lose one any more.

    A trial that fails is recorded and the study goes on. One that is interrupted is put back.

    Raises:
        DataError: the storage cannot be used any more.
        KeyboardInterrupt: as before, once the trial has been put back.
    """
    budget = tune.trials
    if tune.sampler == "grid":
        budget = min(budget, sum("why" in each.user_attrs for each in without_surplus(study)))

    def trial_of(trial: optuna.Trial) -> Sequence[float]:
        trial.set_user_attr("worker", HERE)
        if sum(each.number < trial.number for each in counted(study)) >= budget:
            trial.set_user_attr(SURPLUS, True)
            give_back(study, trial.number)
            raise _SurplusError
        try:
            return objective.measure(trial, seconds_left(study, tune.seconds))
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise

    while True:
        with storage_errors(storage):
            reclaim(study)
            started = counted(study)
            told(started)
            running = [each for each in started if each.state == TrialState.RUNNING]
            enough = len(started) >= budget or seconds_left(study, tune.seconds) <= 0
            if enough and not running:
                return
            if enough:
                time.sleep(POLL_SECONDS)
                continue
            _one_trial(study, trial_of)


class _SurplusError(Exception):
    """A trial beyond the budget."""


def _one_trial(study: optuna.Study, trial_of: Callable[[optuna.Trial], Sequence[float]]) -> None:
    """Run one trial; when interrupted, put it back."""
    try:
        study.optimize(trial_of, n_trials=1, catch=(Exception,))
    except KeyboardInterrupt:
        own = [each for each in without_surplus(study) if _is_own_lost(each)]
        if own:
            try_again(study, own[-1])
        raise


def _is_own_lost(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("worker") == HERE and is_lost(trial)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave the messages to graphrec's own log; optuna calls half of its parts experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def work_with(count: int, out: Path, storage: str, study: optuna.Study, told: Told) -> None:
    """Start workers on this machine, as on any other, and wait until they are done.

    Raises:
        DataError: all workers ended before the budget was used up.
    """

    def look() -> None:
        with storage_errors(storage):
            reclaim(study)
            told(counted(study))

    words = ["graphrec", "tune", str(RunFolder(out).config), "--join", "--storage", storage]
    logs = [out / f"worker-{index}.log" for index in range(count)]
    try:
        failed = run_processes({log: words for log in logs}, count, look)
    except KeyboardInterrupt:
        look()  # what a worker could not put back itself
        raise
    if len(failed) == count:
        names = ", ".join(map(str, failed))
        raise DataError(f"All workers ended early; see {names}. The same command goes on.")
