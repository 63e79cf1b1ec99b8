"""What every configuration table is made of."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DATA_FOLDER = "{data}"
"""Stands at the start of a path for the folder in which the data set was found."""

PLACE = "(path)"
"""Stands for every path in the identity of an experiment: the files are compared by fingerprint."""


class FilePattern(str):
    """A path with placeholders, as in ``posters/{item}.jpg``."""

    __slots__ = ()


def absolute(path: Path) -> Path:
    """Return the path from the root, or as it is where the data set's folder will precede it."""
    return path if path.parts[:1] == (DATA_FOLDER,) else path.expanduser().absolute()


Fraction = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to below 1."""

AbsolutePath = Annotated[Path, AfterValidator(absolute)]


def _with_year(form: str) -> str:
    if re.search(r"%-?[YyFDGgcxs+]", form) is None:
        raise ValueError("must tell day, month and year, as in '%d.%m.%Y' or '%m/%d/%Y %H:%M'")
    return form


TimeFormat = Annotated[str, AfterValidator(_with_year)]
"""Form of a date: %d is the day, %m the month, %Y the year, %H:%M:%S the time, %z the zone."""


class NoEffectError(ValueError):
    """A setting that others switch off was given."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting} has no effect {reason}; remove it")
        self.setting = setting


class Config(BaseModel):
    """Base of every configuration table: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Settings without which an experiment is the same: its label, machine, memory and budget."""
    former_defaults: ClassVar[Mapping[str, object]] = {}
    """The first default of each setting whose default has changed since. It stays what
    ``identity`` leaves out, so that experiments under the old and the new default differ."""
    former_names: ClassVar[Mapping[str, str]] = {}
    """The first name of each setting that has been renamed; ``identity`` keeps it, so that a name
    changes no experiment."""

    def identity(self) -> dict[str, Json]:
        """Return the settings that make the experiment, without those at their first default.

        A setting that a later version adds does not change it, and every path counts the same.
        """
        dumped = self.model_dump(mode="json")
        found: dict[str, Json] = {}
        for name, value in self:
            if name in self.incidental or value == self._first_default(name):
                continue
            kept = _without_places(value, dumped[name])
            if kept != {} or not isinstance(value, Config):
                found[self.former_names.get(name, name)] = kept
        return found

    def inactive_settings(self) -> Iterable[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
        return ()

    def ignored_settings(self) -> list[tuple[str, str]]:
        """Return (setting, reason) for each setting that is given and has no effect."""
        return [
            (name, reason)
            for name, reason in self.inactive_settings()
            if getattr(self, name) != self._default(name)
        ]

    def require_effect(self) -> None:
        """Refuse a setting that would be ignored.

        Raises:
            NoEffectError: there is one; it is named with the reason.
        """
        for name, reason in self.ignored_settings():
            raise NoEffectError(name, reason)

    def _default(self, name: str) -> object:
        return type(self).model_fields[name].default

    def _first_default(self, name: str) -> object:
        return self.former_defaults.get(name, self._default(name))


def _without_places(value: object, dumped: Json) -> Json:
    """Return the JSON form ``dumped`` of a value with each path replaced by ``PLACE``."""
    if isinstance(value, Config):
        return value.identity()
    if isinstance(value, Path | FilePattern):
        return PLACE
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {str(key): _without_places(value[key], dumped[str(key)]) for key in value}
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_without_places(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped
