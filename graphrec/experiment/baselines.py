"""Choose the cheap models beside a run, and find those that are better than its model."""

from collections.abc import Mapping

import numpy as np
import torch

from graphrec.config import RunConfig
from graphrec.core.memory_limit import memory_limit
from graphrec.data import Interactions
from graphrec.experiment.log import RunLog
from graphrec.experiment.result import BetterBaseline
from graphrec.models import Inputs, model_of

BY_DEFAULT = ("popular", "itemknn", "ease")
"""Baselines of a run whose configuration names none; each takes seconds, a minute at most."""

EASE_ROWS = 10_000
"""Rows of the largest matrix that EASE inverts by default: 400 MB, about a minute on one core."""

COMMON_ITEMS = 500_000_000
"""Largest number of pairs of items of one user, over all users, that ItemKNN counts by default."""


def chosen_baselines(config: RunConfig, train: Interactions, log: RunLog) -> tuple[str, ...]:
    """Return the baselines that the configuration names, or else the cheap ones.

    A cheap baseline that is the model itself is left out; one that is too large is left out with
    an event in the log.
    """
    if config.evaluation.baselines is not None:
        return config.evaluation.baselines
    chosen = []
    for name in BY_DEFAULT:
        reason = too_large(name, train, memory_limit(config.run.memory_mb))
        if name == config.model.name:
            continue
        if reason:
            log.event(
                "baseline_skipped",
                f"Baseline {name} is left out: {reason}. To fit it, name it in "
                f"evaluation.baselines.",
                {"baseline": name, "reason": reason},
            )
            continue
        chosen.append(name)
    return tuple(chosen)


def too_large(name: str, train: Interactions, limit: int | None) -> str:
    """Return why a cheap baseline is not cheap on these data; empty where it is.

    Args:
        name: name of the baseline.
        train: the training part.
        limit: bytes that it may take, or None where the limit is unknown.
    """
    model = model_of(name)
    needs = model.needs(model.Config(name=name), Inputs(train, torch.Generator()))
    needed = max((need.num_bytes for need in needs), default=0)
    if limit is not None and needed > limit:
        return f"it needs {needed:,} bytes of memory, and the limit is {limit:,}"
    rows = min(train.num_users, train.num_items)
    if name == "ease" and rows > EASE_ROWS:
        return f"it inverts a matrix of {rows:,} rows, more than {EASE_ROWS:,}"
    pairs = int(np.square(train.user_degrees.astype(np.int64)).sum())
    if name == "itemknn" and pairs > COMMON_ITEMS:
        return f"it counts {pairs:,} pairs of items, more than {COMMON_ITEMS:,}"
    return ""


def better_baselines(
    metric: str, part: str, model: float, baselines: Mapping[str, float], log: RunLog
) -> list[BetterBaseline]:
    """Return the baselines with a larger value of ``metric`` than the model, best first.

    Each of them is an event in the log.

    Args:
        metric: name of the metric.
        part: the part on which the values were measured, valid or test.
        model: value of the model.
        baselines: value of each baseline.
        log: the log of the run.
    """
    ranked = sorted(baselines.items(), key=lambda pair: -pair[1])
    better = [
        BetterBaseline(name, part, metric, value, model) for name, value in ranked if value > model
    ]
    for baseline in better:
        details = {"baseline": baseline.name, "part": part, "metric": metric}
        log.event(
            "baseline_better", str(baseline), {**details, "value": baseline.value, "model": model}
        )
    return better
