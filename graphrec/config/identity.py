"""When two configurations are the same experiment: one notion for runs, studies and results.

Compared are the settings that a number depends on. Paths, machine, memory and label are left out:
what lies in the files is compared by the fingerprints of data set, split and features.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from graphrec.config.file import differing_keys, read_table
from graphrec.config.run import RunConfig, validate
from graphrec.core.config import Config, FilePattern, Json
from graphrec.core.errors import ConfigError
from graphrec.core.run_folder import RunFolder
from graphrec.training.config import TrainingConfig

LOCAL = "local:"
"""Start of the name of an encoder that lies in a folder."""

LIMITS = ("max_epochs", "patience")
"""Settings of [training] that may be raised where a run goes on."""

LEFT_BY = {
    "result.json": "run",
    "checkpoint.safetensors": "run",
    "study.json": "tune",
    "study.db": "tune",
    "modality.json": "modality",
    "missing.json": "missing",
    "fusion.json": "fusion",
}
"""Files that only one command writes into its folder."""


def experiment_settings(config: RunConfig, *, searched: bool = False) -> dict[str, Json]:
    """Return the settings that make an experiment, without those at their first default.

    Args:
        searched: the experiment is a search: ``[search]`` and ``[tune]`` belong to it as well, but
            for the budget of the search, which may grow.
    """
    settings = config.identity()
    if searched:
        settings["search"] = {
            _first_key(config, key): span.identity() for key, span in config.search.items()
        }
        settings["tune"] = config.tune.identity()
    return settings


def _first_key(config: RunConfig, key: str) -> str:
    """Return the key of a searched setting with the first name of each setting on its way."""
    names, value = [], cast(object, config)
    for name in key.split("."):
        names.append(value.former_names.get(name, name) if isinstance(value, Config) else name)
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return ".".join(names)


def experiment_identity(config: RunConfig, *, searched: bool = False) -> str:
    """sha256 of ``experiment_settings``, the same on every machine."""
    canonical = json.dumps(experiment_settings(config, searched=searched), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def training_identity(config: RunConfig) -> str:
    """``experiment_identity`` whatever the limits of the training, which may be raised later."""
    first = {name: TrainingConfig.model_fields[name].default for name in LIMITS}
    training = config.training.model_copy(update=first)
    return experiment_identity(config.model_copy(update={"training": training}))


def stored_config(folder: Path) -> RunConfig:
    """Read the configuration of a run or study folder.

    Raises:
        ConfigError: it cannot be read, or another version of graphrec wrote it.
    """
    path = RunFolder(folder).config
    try:
        return validate(read_table(path))
    except ConfigError as error:
        raise ConfigError(
            f"{path} cannot be used; another version of graphrec may have written it: {error}"
        ) from error


def differing_settings(
    stored: RunConfig, config: RunConfig, *, searched: bool = False
) -> list[str]:
    """Return the dotted keys in which two experiments differ, empty if they are the same."""
    one, other = (experiment_settings(each, searched=searched) for each in (stored, config))
    return differing_keys(one, other)


def require_same(folder: Path, config: RunConfig, command: str, *, searched: bool = False) -> None:
    """Refuse the folder of a study of another experiment or by another command.

    Args:
        command: the one that makes the study.

    Raises:
        ConfigError: the folder holds another study; the keys that differ are named.
    """
    _require_own(folder, command)
    if RunFolder(folder).config.exists():
        different = differing_settings(stored_config(folder), config, searched=searched)
        _refuse(folder, "study", different)


def require_same_run(folder: Path, config: RunConfig) -> None:
    """Refuse the folder of another run or of a study; the limits of training may be raised.

    Raises:
        ConfigError: the folder holds something else; the keys that differ are named.
    """
    _require_own(folder, "run")
    _refuse(folder, "run", other_settings(stored_config(folder), config))


def left_by_another(folder: Path, command: str) -> str | None:
    """Return the name of a file in a folder that another command has written, if there is one."""
    others = (name for name, writer in LEFT_BY.items() if writer != command)
    return next((name for name in others if (folder / name).exists()), None)


def _require_own(folder: Path, command: str) -> None:
    name = left_by_another(folder, command)
    if name is not None:
        raise ConfigError(
            f"{folder} holds {name} of graphrec {LEFT_BY[name]}, and graphrec {command} would "
            f"overwrite files beside it. Choose another --out."
        )


def other_settings(stored: RunConfig, config: RunConfig) -> list[str]:
    """Return the dotted keys for which a stored run cannot go on as ``config``.

    The limits of its training may be raised. With the cosine schedule every learning rate depends
    on ``max_epochs``, which is then no limit.
    """
    raised = [
        f"training.{name}"
        for name in LIMITS
        if getattr(config.training, name) > getattr(stored.training, name)
        and not (name == "max_epochs" and config.training.schedule == "cosine")
    ]
    return [key for key in differing_settings(stored, config) if key not in raised]


def _refuse(folder: Path, what: str, different: list[str]) -> None:
    if different:
        raise ConfigError(
            f"{folder} holds a {what} of another configuration: {', '.join(different)} differ. Go "
            f"on with {folder / 'config.json'}, or choose another --out."
        )


Key = tuple[str, ...]
"""The way to a setting, table by table."""


def file_paths(config: RunConfig) -> dict[Key, str]:
    """Return every path of an experiment by its key: where its data and teacher lie."""
    return dict(_file_paths(config, ()))


def _file_paths(value: object, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, Config):
        for name, inner in value:
            if name not in value.incidental:
                yield from _file_paths(inner, (*key, name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _file_paths(inner, (*key, str(name)))
    elif isinstance(value, Path | FilePattern):
        yield key, str(value)
    elif isinstance(value, str) and key[-1] == "encoder" and value.startswith(LOCAL):
        yield key, value


def relocated(config: RunConfig, other: RunConfig, *, only_gone: bool = False) -> RunConfig:
    """The same experiment with its files where another configuration has those of the same keys.

    Args:
        only_gone: leave the paths at which something lies.
    """
    here, table = file_paths(other), config.model_dump(mode="json")
    for key, place in file_paths(config).items():
        if key in here and (gone(place) or not only_gone):
            node = table
            for name in key[:-1]:
                node = node[name]
            node[key[-1]] = here[key]
    return validate(table)


def gone(place: str) -> bool:
    """Whether nothing lies at a path; of a pattern the folder before its placeholders counts."""
    fixed, brace, _ = place.removeprefix(LOCAL).partition("{")
    if brace:
        fixed = fixed.rpartition("/")[0]
    try:
        return bool(fixed) and not Path(fixed).exists()
    except OSError:  # it may lie there, but this user cannot look
        return False


def moved(stored: RunConfig, config: RunConfig) -> bool:
    """Whether an experiment is asked for at other paths than the stored ones, all of them gone."""
    now = file_paths(config)
    changed = [key for key, place in file_paths(stored).items() if now.get(key) != place]
    return bool(changed) and all(gone(file_paths(stored)[key]) for key in changed)
