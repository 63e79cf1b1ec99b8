"""Read one TOML file (or a ``config.json``), apply dotted overrides, and make a ``RunConfig``."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from graphrec.config.run import RunConfig, validate
from graphrec.config.space import Space
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.names import not_imported

DEEPEST = 50
"""Largest depth of tables and lists inside each other; settings need a handful."""

TOO_DEEP = f"more than {DEEPEST} tables or lists lie in each other"


def parse_override(text: str) -> tuple[list[str], Json]:
    """Parse ``model.num_layers=2``; the value is TOML, or else plain text.

    Raises:
        ConfigError: there is no ``=``, or the value is nested too deeply.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"Override {text!r} is not of the form key=value, as in model.dim=64.")
    try:
        parsed: Json = tomllib.loads(f"value = {value}")["value"]
    except RecursionError as error:
        raise ConfigError(f"The value of the override {key!r} is malformed: {TOO_DEEP}.") from error
    except ValueError:
        parsed = value
    keys = key.strip().split(".")
    if len(keys) > DEEPEST or _is_too_deep({"value": parsed}):
        raise ConfigError(f"The override {text[:60]!r}... is malformed: {TOO_DEEP}.")
    return keys, parsed


def apply_overrides(table: dict[str, Json], overrides: Iterable[str]) -> dict[str, Json]:
    """Return ``table`` with dotted overrides applied; the argument is left as it is.

    Raises:
        ConfigError: an override is malformed, or tables are nested too deeply.
    """
    if _is_too_deep(table):
        raise ConfigError(f"The configuration is malformed: {TOO_DEEP}.")
    result: dict[str, Json] = json.loads(json.dumps(table, default=str))
    for text in overrides:
        keys, value = parse_override(text)
        node = result
        for position, key in enumerate(keys[:-1]):
            child = node.setdefault(key, {})
            if not isinstance(child, dict):
                raise ConfigError(f"{'.'.join(keys[: position + 1])} is a value, not a table.")
            node = child
        node[keys[-1]] = value
    return result


def read_table(path: Path) -> dict[str, Json]:
    """Read a TOML or JSON configuration file.

    Raises:
        ConfigError: the file is missing or malformed; the message names line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        table: Json = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"Cannot read configuration {path}: {error.strerror}.") from error
    except RecursionError as error:
        raise ConfigError(f"Configuration {path} is malformed: {TOO_DEEP}.") from error
    except ValueError as error:
        raise ConfigError(f"Configuration {path} is malformed: {error}.") from error
    if not isinstance(table, dict):
        raise ConfigError(f"Configuration {path} is malformed: it holds no table.")
    if _is_too_deep(table):
        raise ConfigError(f"Configuration {path} is malformed: {TOO_DEEP}.")
    return table


def _is_too_deep(table: Mapping[str, Json]) -> bool:
    """Return whether tables and lists are nested deeper than any setting."""
    level: list[Json] = list(table.values())
    for _ in range(DEEPEST):
        nested = (value for value in level if isinstance(value, dict | list))
        level = [
            inner
            for value in nested
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


def build_config(table: Mapping[str, Json], overrides: Iterable[str] = ()) -> RunConfig:
    """Validate a raw table, and its search space at both ends.

    Raises:
        ConfigError: one sentence per problem, with the key, allowed values and the nearest name.
    """
    config = validate(apply_overrides(dict(table), overrides))
    if config.search and not not_imported():
        Space(config, config.search)
    return config


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read, override and validate a configuration file; its name becomes the run's label."""
    table = read_table(Path(path))
    section = table.setdefault("run", {})
    if isinstance(section, dict):
        section.setdefault("name", Path(path).stem)
    try:
        return build_config(table, overrides)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def differing_keys(old: Json, new: Json, where: str = "") -> list[str]:
    """Return the dotted keys whose values differ between two raw configurations."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [where]
    return [
        key
        for name in sorted(old.keys() | new.keys())
        for key in differing_keys(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
    ]
