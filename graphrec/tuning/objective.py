"""Train a model with proposed settings in one trial, and score it on valid."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Literal

import optuna

from graphrec.config import RunConfig
from graphrec.config.space import Space, Values
from graphrec.core.errors import ConfigError, GraphRecError
from graphrec.evaluation import METRICS, parse_metric
from graphrec.experiment.fit import build, fit_model
from graphrec.experiment.log import RunLog
from graphrec.experiment.measure import measure_valid
from graphrec.experiment.prepare import with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.training.config import TrainingConfig

COSTS = ("seconds", "parameters")
"""Objectives that are no metric: seconds of training, and number of parameters."""


def objectives_of(config: RunConfig, valid_metric: str) -> tuple[str, ...]:
    """Return the objectives of a study: by default the metric of early stopping.

    Raises:
        ConfigError: an objective is no metric and no cost.
    """
    for name in config.tune.objectives:
        if name in COSTS:
            continue
        metric, cut_off = parse_metric(name)
        if METRICS[metric].takes_k and cut_off is None:
            raise ConfigError(
                f"tune.objectives: {name!r} has no cut-off. Write it like '{name}@20'."
            )
    return config.tune.objectives or (valid_metric,)


def direction(objective: str) -> Literal["maximize", "minimize"]:
    """Return ``maximize`` or ``minimize``."""
    less = objective in COSTS or not METRICS[parse_metric(objective)[0]].higher_is_better
    return "minimize" if less else "maximize"


class Objective:
    """Objective of a study: trains and validates trials on data prepared once.

    ``prepared`` is the experiment without its test part.
    """

    def __init__(self, prepared: Prepared, space: Space, log: RunLog) -> None:
        self._prepared, self._space, self._log = prepared, space, log
        self.names = objectives_of(prepared.config, prepared.protocol.valid_metric)
        self._last = prepared
        self._on_curve = self.names == (prepared.protocol.valid_metric,)

    def require_buildable(self, where: str, config: RunConfig) -> None:
        """Build the model of one end of the space.

        Raises:
            ConfigError: it cannot be built from the data.
        """
        try:
            build(config.model, self._with_content(config))
        except (GraphRecError, RuntimeError, MemoryError) as error:
            raise ConfigError(f"[search] {where}: the model cannot be built: {error}") from error

    def measure(self, trial: optuna.Trial, seconds_left: float = math.inf) -> Sequence[float]:
        """Return the value of each objective, averaged over ``tune.trial_seeds``.

        Raises:
            TrialPruned: the pruner stopped the trial, or its time is over.
        """
        deadline = time.monotonic() + seconds_left
        values = self._space.propose(trial)
        self._log.event(
            "trial", f"Trial {trial.number}: {one_line(values)}", {"number": trial.number, **values}
        )
        config, by_seed = self._space.config(values), []
        for index in range(self._prepared.config.tune.trial_seeds):
            run = config.run.model_copy(update={"seed": config.run.seed + index})
            seeded = config.model_copy(update={"run": run})
            watch = self._watcher(trial, deadline, seeded.training, pruning=index == 0)
            by_seed.append(self._train(trial, self._with_content(seeded), watch))
        trial.set_user_attr("by_seed", by_seed)
        return [statistics.fmean(column) for column in zip(*by_seed, strict=True)]

    def _train(
        self, trial: optuna.Trial, prepared: Prepared, watch: Callable[[float], None]
    ) -> list[float]:
        """Train with one seed; record the costs and return the objectives."""
        started = time.perf_counter()
        model = build(prepared.config.model, prepared)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        trial.set_user_attr("parameters", parameters)
        fitted = fit_model(model, prepared, self._log, watch=watch)
        seconds = time.perf_counter() - started
        trial.set_user_attr("epochs", len(fitted.history))
        trial.set_user_attr("best_epoch", fitted.best_epoch)
        if self._on_curve and fitted.best_score is not None:
            return [fitted.best_score]
        scores: dict[str, float] = {"seconds": seconds, "parameters": parameters}
        metrics = tuple(name for name in self.names if name not in COSTS)
        if metrics:
            measured = measure_valid(model, prepared, metrics)
            assert measured is not None
            scores |= measured.metrics
        return [scores[name] for name in self.names]

    def _watcher(
        self, trial: optuna.Trial, deadline: float, training: TrainingConfig, *, pruning: bool
    ) -> Callable[[float], None]:
        """Return a callback that reports the validation curve and stops hopeless or late trials."""
        epoch = 0

        def watch(score: float) -> None:
            nonlocal epoch
            epoch = min(epoch + training.eval_every, training.max_epochs)
            if pruning and self._on_curve:
                trial.report(score, epoch)
                if trial.should_prune():
                    trial.set_user_attr("epochs", epoch)
                    raise optuna.TrialPruned
            if time.monotonic() > deadline:
                trial.set_user_attr("stopped", "tune.seconds are used up")
                raise optuna.TrialPruned

        return watch

    def _with_content(self, config: RunConfig) -> Prepared:
        """Return the experiment with other settings; its content is kept until the next change."""
        self._last = with_settings(self._last, config, self._log)
        return self._last


def one_line(values: Values) -> str:
    """Return settings on one line."""
    return ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in values.items()
    )
