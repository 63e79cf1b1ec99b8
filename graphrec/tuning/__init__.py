"""Search hyper-parameters on train and valid; the test part is opened once, in the end.

The modules that search need optuna, which is an extra; ``tune`` and ``join`` import them when
they are called.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias, cast

from graphrec.config import RunConfig
from graphrec.core.errors import ConfigError
from graphrec.core.names import deferred
from graphrec.tuning.result import StudyResult

Start: TypeAlias = Callable[[RunConfig, Path, int, str | None], StudyResult]
Join: TypeAlias = Callable[[RunConfig, str], None]

NEEDED = ("optuna", "cmaes", "matplotlib")


def tune(
    config: RunConfig, out: Path | str, *, workers: int = 1, storage: str | None = None
) -> StudyResult:
    """Search the space of ``config.search`` as ``config.tune`` says, and write the folder ``out``.

    Trials are trained on train and judged on valid; they do not have the test part at all. In the
    end the winner and the original configuration are trained with ``tune.final_seeds`` fresh
    seeds, and the test part is opened once for all of them. The same call resumes a study that was
    interrupted, or whose budget has been raised.

    Args:
        config: the configuration, with its search space.
        out: the folder of the study.
        workers: number of processes on this machine; others can join by ``join``.
        storage: URL of a database or path of a journal file; by default SQLite in ``out``.

    Raises:
        ConfigError: the space is not valid, or folder or storage hold another study.
        DataError: no trial was completed (the message shows the first error), or the storage is not
            usable.
    """
    require_optuna()
    start = cast(Start, deferred("graphrec.tuning.search:start"))
    return start(config, Path(out), workers, storage)


def join(config: RunConfig, storage: str) -> None:
    """Run trials of a study that ``tune`` has started, here or on another machine.

    Raises:
        ConfigError: there is no such study, or it has another configuration or other data.
        DataError: the storage is not usable.
    """
    require_optuna()
    take_part = cast(Join, deferred("graphrec.tuning.search:join"))
    take_part(config, storage)


def require_optuna() -> None:
    """Refuse to tune where an extra is missing.

    Raises:
        ConfigError: a package is not installed; the message names the remedy.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"Tuning needs {', '.join(missing)}: install with pip install 'graphrec[tune]'."
        )
