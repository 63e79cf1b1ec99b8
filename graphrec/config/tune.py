"""Define the table ``[tune]``."""

from typing import ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from graphrec.core.config import AbsolutePath, Config


class TuneConfig(Config):
    """Settings of ``graphrec tune``; ``run`` ignores this table."""

    incidental: ClassVar[frozenset[str]] = frozenset({"trials", "seconds", "final_seeds"})

    trials: PositiveInt = 30
    """Budget: number of finished trials, including those that were pruned or failed."""
    seconds: PositiveFloat | None = None
    """Budget: seconds of all trials together, for any number of workers. The study ends when one of
    the two budgets is used up."""
    sampler: Literal["tpe", "random", "grid", "cmaes", "qmc", "nsga2"] = "tpe"
    """Method that proposes settings: multivariate TPE, random, every point of a grid in random
    order, CMA-ES, a quasi-random sequence, or NSGA-II."""
    pruner: Literal["median", "halving", "hyperband", "none"] = "median"
    """Method that stops hopeless trials early, by the validation curve."""
    min_epochs: PositiveInt = 5
    """Number of epochs before a trial may be pruned."""
    objectives: tuple[str, ...] = ()
    """Valid metrics, and ``seconds`` or ``parameters``, each with its own direction; by default the
    metric of early stopping. Several objectives give a front, and need ``pruner = "none"``."""
    trial_seeds: PositiveInt = 1
    """Number of seeds averaged in each trial; the pruner uses the first."""
    final_seeds: NonNegativeInt = 3
    """Number of seeds with which the winner, and the setting it started from, are trained in the
    end; only then the test part is opened. 0 leaves it sealed."""
    warm_start: tuple[AbsolutePath, ...] = ()
    """Folders of earlier studies, whose best settings are tried first."""
    warm_trials: PositiveInt = 3
    """Number of settings taken from each earlier study."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        if len(self.objectives) > 1 and self.pruner != "none":
            raise ValueError("several objectives cannot be pruned; set pruner = 'none'")
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("objectives are given twice")
        return self
