"""Names in configurations: a key of an explicit table, or ``"package.module:Class"``."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from graphrec.errors import ConfigError

T = TypeVar("T")


def listed(text: str) -> tuple[str, ...]:
    """Names between commas, each once."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def quantity(number: int, noun: str) -> str:
    """Return ``"1 model"`` or ``"1,200 models"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def resolve(name: str, table: Mapping[str, T], kind: str) -> T:
    """Look ``name`` up in ``table``, or import it when written ``"package.module:Class"``.

    Raises:
        ConfigError: the name is unknown; the nearest known one is offered.
    """
    if name in table:
        return table[name]
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            found: T = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"Cannot import {kind} {name!r}: {error}.") from error
        return found
    known = ", ".join(sorted(table))
    raise ConfigError(f"Unknown {kind} {name!r}.{nearest(name, table)} Known: {known}.")
