"""Study one experiment: the value of modalities, the cost of their lack, the ways to fuse them.

Drawings need matplotlib, and the comparison of fusions optuna: both are extras.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias, cast

from graphrec.config import RunConfig
from graphrec.core.errors import ConfigError
from graphrec.core.names import deferred
from graphrec.studies.fusion_cells import Axes
from graphrec.studies.fusion_record import GridResult
from graphrec.studies.missing import Grid
from graphrec.studies.missing import study as missing_study
from graphrec.studies.modality import study as modality_study
from graphrec.studies.record import VariantsResult
from graphrec.tuning import require_optuna

GridRun: TypeAlias = Callable[..., GridResult]


def study_modalities(
    config: RunConfig,
    out: Path | str,
    *,
    seeds: int = 3,
    workers: int = 1,
    metric: str | None = None,
) -> VariantsResult:
    """Compare an experiment with itself without, with only, and with controls of each modality.

    Every variant is trained with ``seeds`` fresh seeds; the test part is opened once, for all. The
    same call resumes a study that was stopped.

    Args:
        config: the experiment.
        out: folder of the study.
        seeds: number of fresh seeds per variant.
        workers: number of processes on this machine.
        metric: metric on test; by default that of early stopping.

    Raises:
        ConfigError: the model reads no modality, or the folder holds another study.
        DataError: the data do not hold what the configuration says.
    """
    require_matplotlib("modality")
    return modality_study(config, Path(out), seeds, workers, metric)


def study_missing(
    config: RunConfig,
    out: Path | str,
    grid: Grid | None = None,
    *,
    seeds: int = 3,
    workers: int = 1,
    metric: str | None = None,
) -> VariantsResult:
    """Remove modalities from items at several rates and fill them in several ways.

    Args:
        config, out, seeds, workers, metric: as in ``study_modalities``.
        grid: rates, mechanisms and strategies.

    Raises:
        ConfigError, DataError: as in ``study_modalities``, or the grid is not valid.
    """
    require_matplotlib("missing")
    return missing_study(config, grid or Grid(), Path(out), seeds, workers, metric)


def study_fusions(
    config: RunConfig,
    out: Path | str,
    axes: Axes | None = None,
    *,
    tuned: bool = True,
    workers: int = 1,
) -> GridResult:
    """Compare backbone x where x how of the fusion, each cell tuned by the budget of ``[tune]``.

    Args:
        config, out, workers: as in ``study_modalities``; ``tune.final_seeds`` is the number of
            seeds.
        axes: values that are crossed.
        tuned: tune each cell; otherwise every cell keeps the settings of ``config``.

    Raises:
        ConfigError, DataError: as in ``study_modalities``, or the grid is not valid.
    """
    require_optuna()
    run_grid = cast(GridRun, deferred("graphrec.studies.fusion:run_grid"))
    return run_grid(config, axes or Axes(), Path(out), tuned=tuned, workers=workers)


def require_matplotlib(study: str) -> None:
    """Refuse a study where the extra with matplotlib is missing.

    Raises:
        ConfigError: matplotlib is not installed; the message names the remedy.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError(
            f"graphrec {study} needs matplotlib: install with pip install 'graphrec[tune]'."
        )
