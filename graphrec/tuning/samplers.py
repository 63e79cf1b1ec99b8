"""Make optuna's samplers and pruners repeatable."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from graphrec.config import RunConfig, TuneConfig
from graphrec.core.ranges import Choice
from graphrec.core.rng import stream_seed
from graphrec.tuning.trials import is_lost

SEED_RANGE = 2**32
REDUCTION = 3
"""Number of trials at each rung of which successive halving keeps one."""

Params: TypeAlias = dict[str, Choice]


class SeededSampler(BaseSampler):
    """Sampler that is made anew for each trial, from a seed for this trial.

    So a proposal depends on the trials before it and not on the process: a study that was
    interrupted continues as if it had not been.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._inner = make(stream_seed(seed, "sampler") % SEED_RANGE)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial; lost trials do not count."""
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        position = sum(not is_lost(trial_before) for trial_before in earlier)
        self._inner = self._make(stream_seed(self._seed, "sampler", position) % SEED_RANGE)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the settings that are proposed together."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> Params:
        """Propose the settings of ``search_space`` together."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Choice:
        """Propose one setting by itself."""
        proposed: Choice = self._inner.sample_independent(
            study, trial, param_name, param_distribution
        )
        return proposed

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Report the outcome of a trial to the sampler."""
        self._inner.after_trial(study, trial, state, values)


def sampler_of(config: RunConfig) -> BaseSampler:
    """Return the sampler of ``tune.sampler``; a grid is queued, with random trials after it."""
    seed = config.run.seed
    if config.tune.sampler == "qmc":  # the points of one sequence: all workers need one seed
        return QMCSampler(
            scramble=True,
            seed=stream_seed(seed, "sampler") % SEED_RANGE,
            warn_independent_sampling=False,
        )
    makers: Mapping[str, Callable[[int], BaseSampler]] = {
        "tpe": lambda seed: TPESampler(multivariate=True, group=True, seed=seed),
        "random": lambda seed: RandomSampler(seed=seed),
        "grid": lambda seed: RandomSampler(seed=seed),
        "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
        "nsga2": lambda seed: NSGAIISampler(population_size=POPULATION, seed=seed),
    }
    return SeededSampler(makers[config.tune.sampler], seed)


POPULATION = 10
"""Number of trials in a generation of NSGA-II: a study has tens of trials, not thousands."""


def pruner_of(tune: TuneConfig) -> BasePruner:
    """Return the pruner of ``tune.pruner``; it never stops a trial before ``tune.min_epochs``."""
    makers: Mapping[str, Callable[[], BasePruner]] = {
        "none": NopPruner,
        "median": lambda: MedianPruner(n_startup_trials=5, n_warmup_steps=tune.min_epochs),
        "halving": lambda: SuccessiveHalvingPruner(
            min_resource=tune.min_epochs, reduction_factor=REDUCTION
        ),
        "hyperband": lambda: HyperbandPruner(
            min_resource=tune.min_epochs, reduction_factor=REDUCTION
        ),
    }
    return makers[tune.pruner]()
