"""Resolve names in configurations: a key of an explicit table, or ``"package.module:Class"``."""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from graphrec.core.errors import ConfigError

T = TypeVar("T")


def listed(text: str) -> tuple[str, ...]:
    """Return the names between commas, without repetitions."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def quantity(number: int, noun: str) -> str:
    """Return ``"1 model"`` or ``"1,200 models"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def folder_name(label: str) -> str:
    """Return the label of a run as a name of one folder: no separators, never ``.`` or ``..``."""
    return re.sub(r"[^\w.-]+", "-", label).lstrip(".") or "run"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


class NotImportedError(ConfigError):
    """The name stands for code of the user, which is not run inside ``without_imports``."""


_skipped: ContextVar[list[str] | None] = ContextVar("skipped", default=None)


@contextmanager
def without_imports() -> Iterator[list[str]]:
    """Import nothing that a configuration names inside the block; yield the names left out."""
    token = _skipped.set([])
    try:
        yield not_imported()
    finally:
        _skipped.reset(token)


def not_imported() -> list[str]:
    """Return the names that were not imported inside ``without_imports``; outside, none."""
    names = _skipped.get()
    return [] if names is None else names


def resolve(name: str, table: Mapping[str, T], kind: str, base: type | None = None) -> T:
    """Look ``name`` up in ``table``, or import it when written ``"package.module:Class"``.

    Args:
        name: key of ``table``, or reference to a class.
        table: the known names.
        kind: what a name stands for, for the error message.
        base: class of which an imported class must be a concrete subclass.

    Raises:
        ConfigError: the name is unknown (the message offers the nearest known name), or the
            imported object is not such a class.
        NotImportedError: the name would be imported inside ``without_imports``.
    """
    if name in table:
        return table[name]
    if ":" not in name:
        known = ", ".join(sorted(table))
        raise ConfigError(f"Unknown {kind} {name!r}.{nearest(name, table)} Known: {known}.")
    if _skipped.get() is not None:
        not_imported().append(name)
        raise NotImportedError(f"The {kind} {name!r} was not imported.")
    imported: T = _imported(name, kind)
    if base is not None:
        _require_kind(imported, base, name, kind)
    return imported


class Deferred(Mapping[str, T]):
    """Table of references ``"package.module:name"``, each imported when it is first used."""

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
    """Import ``"package.module:name"`` of graphrec itself, only when it is needed.

    The test of the layers reads such references like any other import.
    """
    module_name, _, attribute = reference.partition(":")
    imported: object = getattr(importlib.import_module(module_name), attribute)
    return imported


def _imported(name: str, kind: str) -> T:  # type: ignore[type-var]
    module_name, _, attribute = name.partition(":")
    try:
        imported: T = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # a module of the user may raise anything
        reason = (str(error) or repr(error)).rstrip(".")
        known = dir(sys.modules[module_name]) if module_name in sys.modules else []
        offered = nearest(attribute, known)
        raise ConfigError(f"Cannot import {kind} {name!r}: {reason}.{offered}") from error
    return imported


def _require_kind(imported: object, base: type, name: str, kind: str) -> None:
    """Refuse an object that is no subclass of ``base``, and a subclass with abstract methods."""
    if not (isinstance(imported, type) and issubclass(imported, base)):
        raise ConfigError(
            f"The {kind} {name!r} is no {kind}: it is not a subclass of "
            f"{base.__module__}.{base.__qualname__}. Write a class that is, or name another one."
        )
    if inspect.isabstract(imported):
        open_methods = ", ".join(sorted(getattr(imported, "__abstractmethods__", ())))
        raise ConfigError(f"The {kind} {name!r} cannot be used: it does not define {open_methods}.")
