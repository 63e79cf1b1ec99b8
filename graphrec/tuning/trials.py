"""Count the trials of a study, and their costs."""

import math
from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

SURPLUS = "surplus"
"""Attribute of a trial dropped before it began, because another worker took the last one."""


def is_lost(trial: FrozenTrial) -> bool:
    """Return whether the worker of a trial died or was interrupted; such a trial has no error."""
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs


def without_surplus(study: optuna.Study) -> list[FrozenTrial]:
    """Return all trials but those that were dropped before they began."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if SURPLUS not in trial.user_attrs]


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the started trials that count for the budget: all but lost and surplus ones."""
    trials = without_surplus(study)
    return [trial for trial in trials if trial.state != TrialState.WAITING and not is_lost(trial)]


def seconds_of(trials: Sequence[FrozenTrial]) -> float:
    """Return the seconds of all trials together, those of running trials up to now."""
    total = 0.0
    for trial in trials:
        if trial.datetime_start is not None:
            end = trial.datetime_complete or datetime.now()
            total += (end - trial.datetime_start).total_seconds()
    return total


def seconds_left(study: optuna.Study, budget: float | None) -> float:
    """Return what is left of ``tune.seconds``."""
    if budget is None:
        return math.inf
    return budget - seconds_of(without_surplus(study))
