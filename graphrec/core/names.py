"""Names in configurations: a key of an explicit table, or ``"package.module:Class"``."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from graphrec.core.errors import ConfigError

T = TypeVar("T")


def listed(text: str) -> tuple[str, ...]:
    """Names between commas, each once."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def quantity(number: int, noun: str) -> str:
    """Return ``"1 model"`` or ``"1,200 models"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def folder_name(label: str) -> str:
    """The label of a run as the name of one folder: no separators, and not ``.`` or ``..``."""
    return re.sub(r"[^\w.-]+", "-", label).lstrip(".") or "run"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


class NotImportedError(ConfigError):
    """A name stands for code of the user, which is not run inside ``without_imports``."""


_skipped: ContextVar[list[str] | None] = ContextVar("skipped", default=None)


@contextmanager
def without_imports() -> Iterator[list[str]]:
    """Import nothing that a configuration names inside the block; yield the names it had."""
    token = _skipped.set([])
    try:
        yield not_imported()
    finally:
        _skipped.reset(token)


def not_imported() -> list[str]:
    """The names that were not imported inside ``without_imports``; outside there are none."""
    found = _skipped.get()
    return [] if found is None else found


def resolve(name: str, table: Mapping[str, T], kind: str, base: type | None = None) -> T:
    """Look ``name`` up in ``table``, or import it when written ``"package.module:Class"``.

    Args:
        base: the class of which an imported one must be a subclass that can be made.

    Raises:
        ConfigError: the name is unknown (the nearest known one is offered), or what is imported is
            no such class.
        NotImportedError: inside ``without_imports`` the name would be imported.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        known = ", ".join(sorted(table))
        raise ConfigError(f"Unknown {kind} {name!r}.{nearest(name, table)} Known: {known}.")
    if _skipped.get() is not None:
        not_imported().append(name)
        raise NotImportedError(f"The {kind} {name!r} was not imported.")
    found: T = _imported(name, kind)
    if base is not None:
        _require_kind(found, base, name, kind)
    return found


class Deferred(Mapping[str, T]):
    """A table of references ``"package.module:name"``, each imported when it is first asked for."""

    def __init__(self, references: Mapping[str, str]) -> None:
        self.references = references

    def __getitem__(self, name: str) -> T:
        return cast(T, deferred(self.references[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.references)

    def __len__(self) -> int:
        return len(self.references)

    def __contains__(self, name: object) -> bool:
        return name in self.references


def deferred(reference: str) -> object:
    """Import ``"package.module:name"`` of graphrec itself, whose module needs an extra.

    The test of the layers reads such references like any other import.
    """
    module_name, _, attribute = reference.partition(":")
    found: object = getattr(importlib.import_module(module_name), attribute)
    return found


def _imported(name: str, kind: str) -> T:  # type: ignore[type-var]
    module_name, _, attribute = name.partition(":")
    try:
        found: T = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # a module of the user may raise anything
        raise ConfigError(f"Cannot import {kind} {name!r}: {error or repr(error)}.") from error
    return found


def _require_kind(found: object, base: type, name: str, kind: str) -> None:
    """Refuse what is no subclass of ``base``, and a subclass that leaves methods open."""
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(
            f"The {kind} {name!r} is no {kind}: it is not a subclass of "
            f"{base.__module__}.{base.__qualname__}. Write a class that is, or name another one."
        )
    if inspect.isabstract(found):
        open_methods = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise ConfigError(f"The {kind} {name!r} cannot be used: it does not define {open_methods}.")
