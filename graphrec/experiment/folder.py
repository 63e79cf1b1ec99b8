"""What a run folder holds already: whose run it is, whether it is finished, and on which data."""

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from graphrec.config import RunConfig
from graphrec.config.file import read_table
from graphrec.config.identity import (
    differing_settings,
    file_paths,
    left_by_another,
    moved,
    other_settings,
    require_same_run,
    stored_config,
)
from graphrec.config.run import validate
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.log import read_events
from graphrec.experiment.result import Result, read_result

logger = logging.getLogger(__name__)

STAMP = "%Y%m%d-%H%M%S"
"""Start of the names of run folders for which no ``--out`` was given."""


def finished_result(config: RunConfig, out: Path, resume: bool) -> Result | None:
    """Return the result of this very run, if it is finished and its data lie where they did.

    Raises:
        ConfigError: the folder holds another run, or one that was not asked to be resumed.
    """
    if not RunFolder(out).config.exists():
        return None
    if not resume and left_by_another(out, "run") is None:
        raise ConfigError(
            f"{out} already holds a run. Add --resume to go on with it, or choose another --out."
        )
    require_same_run(out, config)
    at_home = file_paths(stored_config(out)) == file_paths(config)
    return read_result(out) if at_home and holds_result_of(config, out) else None


def can_go_on(folder: Path, config: RunConfig) -> bool:
    """Whether ``--resume`` of a configuration may take this folder.

    It is one of the same run, on the same files or on such as are gone from where they were. A
    folder that cannot be read, as one of another version, is named and left out.
    """
    if left_by_another(folder, "run") is not None:
        return False
    try:
        model = read_table(RunFolder(folder).config).get("model")
        if not isinstance(model, dict) or model.get("name") != config.model.name:
            return False  # before a model of somebody else is imported
        stored = stored_config(folder)
    except ConfigError as error:
        logger.warning("%s is left out: %s", folder, error)
        return False
    at_home = file_paths(stored) == file_paths(config)
    return not other_settings(stored, config) and (at_home or moved(stored, config))


def started(folder: Path) -> tuple[str, float]:
    """When a run began: the second in a name that graphrec gave it, and when it was written."""
    written = RunFolder(folder).config.stat().st_mtime
    named = re.match(r"\d{8}-\d{6}(?=-)", folder.name)
    return named[0] if named else datetime.fromtimestamp(written).strftime(STAMP), written


def holds_result_of(config: RunConfig, out: Path) -> bool:
    """Whether a folder holds the result of these settings, limits of training included."""
    if not RunFolder(out).result.exists():
        return False
    return not differing_settings(validate(read_result(out).config), config)


def fingerprints_in(log: Path | None) -> dict[str, str]:
    """Return the fingerprints of data set and split with which a run was started last."""
    found: dict[str, str] = {}
    for event in read_events(log):
        prints = event.get("fingerprints")
        if event.get("event") == "split" and isinstance(prints, dict):
            found = {name: str(value) for name, value in prints.items()}
    return found


def require_same_data(out: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse data that are not those of the run in a folder.

    Raises:
        DataError: fingerprints differ; what they belong to is named.
    """
    different = [name for name in now if name in before and before[name] != now[name]]
    if different:
        raise DataError(
            f"{out} holds a run on other data: {', '.join(different)} differ. Restore the files, "
            f"or choose another --out."
        )
