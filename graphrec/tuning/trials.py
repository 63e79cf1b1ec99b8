"""Trials of a study: which of them count, and what they cost."""

import math
from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

SURPLUS = "surplus"
"""Attribute of a trial that was given back before it began: another worker took the last one."""


def is_lost(trial: FrozenTrial) -> bool:
    """Whether its worker died or was interrupted: a trial that failed by itself has an error."""
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs


def without_surplus(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that were given back before they began."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if SURPLUS not in trial.user_attrs]


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Started trials that count for the budget: all but the lost and the surplus ones."""
    trials = without_surplus(study)
    return [each for each in trials if each.state != TrialState.WAITING and not is_lost(each)]


def seconds_of(trials: Sequence[FrozenTrial]) -> float:
    """Seconds of all trials together; those of running ones until now."""
    total = 0.0
    for trial in trials:
        if trial.datetime_start is not None:
            end = trial.datetime_complete or datetime.now()
            total += (end - trial.datetime_start).total_seconds()
    return total


def seconds_left(study: optuna.Study, budget: float | None) -> float:
    """What is left of ``tune.seconds``."""
    if budget is None:
        return math.inf
    return budget - seconds_of(without_surplus(study))
