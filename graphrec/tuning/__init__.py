"""Hyper-parameter search on train and valid; the test part is opened once, in the end.

Only this file is imported with graphrec: the others need optuna, which is an extra.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from graphrec.config import RunConfig
from graphrec.core.errors import ConfigError

if TYPE_CHECKING:
    from graphrec.tuning.record import StudyResult

NEEDED = ("optuna", "cmaes", "matplotlib")


def tune(
    config: RunConfig, out: Path | str, *, workers: int = 1, storage: str | None = None
) -> "StudyResult":
    """Search the space of ``config.search`` as ``config.tune`` says, and write the folder ``out``.

    Trials are trained on train and judged on valid; the test part is not even loaded with them.
    The winner, and the configuration as it stood, are then trained with ``tune.final_seeds`` fresh
    seeds, and the test part is opened once for all of them. The same call goes on with a study
    that was interrupted, or whose budget has been raised.

    Args:
        workers: processes on this machine; others can join by ``join``.
        storage: URL of a database or path of a journal file; by default SQLite in ``out``.

    Raises:
        ConfigError: the space is not sound, or folder or storage hold another study.
        DataError: no trial was completed (the first error is shown), or the storage is not usable.
    """
    require_optuna()
    from graphrec.tuning.search import start

    return start(config, Path(out), workers, storage)


def join(config: RunConfig, storage: str) -> None:
    """Take trials of a study that ``tune`` has started, here or on another machine.

    Raises:
        ConfigError: there is none, or it is one of another configuration or other data.
        DataError: the storage is not usable.
    """
    require_optuna()
    from graphrec.tuning.search import join as take_part

    take_part(config, storage)


def require_optuna() -> None:
    """Raise ConfigError with its remedy where an extra is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"Tuning needs {', '.join(missing)}: install with pip install 'graphrec[tune]'."
        )
