"""Axes of a grid -> cells: configurations that differ in how the modalities are fused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

from graphrec.config import Json, RunConfig
from graphrec.config_file import validate
from graphrec.config_tune import SearchRange
from graphrec.errors import ConfigError
from graphrec.fusion import FUSIONS
from graphrec.names import nearest, resolve

ON_SCORES = ("late", "sample", "model")
"""Values of ``where`` that combine scores: there ``how`` names a ``late``, else a ``fusion``."""

VARIED = ("backbone", "where", "fusion", "late")
"""The settings of the model that make a cell."""

BACKBONES = ("lightgcn", "none")
WHERE = ("early", "middle", "late")
FUSION_HOW = ("attention", "concat", "gate", "sum")
LATE_HOW = ("mean", "learned")

HAS_NO_EFFECT = re.compile(r"\b(\w+) has no effect")


@dataclass(frozen=True)
class Axes:
    """What is crossed. None stands for the default values, those of ``how`` by their where."""

    backbones: tuple[str, ...] | None = None
    where: tuple[str, ...] | None = None
    how: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        settings: of the model, those that make the cell.
        left_out: keys of the configuration that have no effect in this cell.
        in_grid: false for a reference that had to be added.
    """

    name: str
    settings: dict[str, str]
    config: RunConfig
    left_out: list[str]
    in_grid: bool = True


@dataclass(frozen=True)
class Plan:
    """The cells to run, the reference among them, and why others of the grid cannot be run."""

    reference: str
    cells: list[Cell]
    skipped: dict[str, str]


def plan_of(config: RunConfig, axes: Axes, *, tuned: bool) -> Plan:
    """Cross the axes; the reference is the configuration as it stands.

    Settings that have no effect in a cell are left out of it, and so are ranges of ``[search]``;
    what else the configuration refuses is skipped.

    Raises:
        ConfigError: the model does not fuse, an axis is empty or has an unknown value, nothing is
            to be trained, or the reference is refused.
    """
    if not _has(config, "fusion"):
        raise ConfigError(
            f"Model {config.model.name!r} has no setting fusion, and graphrec fusion compares "
            f"ways to fuse. Set model.name = 'modality_attention_gcn'."
        )
    if not config.tune.final_seeds:
        raise ConfigError("tune.final_seeds = 0 leaves nothing to compare. Set it to 2 or more.")
    backbones = _values(config, "backbone", "--backbones", axes.backbones, BACKBONES)
    places = _values(config, "where", "--where", axes.where, WHERE)
    _require_how(config, axes.how)
    backbone, where = _own(config, "backbone"), _own(config, "where")
    how = _own(config, _how_setting(where))
    assert how is not None
    reference = _cell(config, backbone, where, how, tuned=tuned)
    cells: list[Cell] = []
    skipped = {}
    for backbone, where in product(backbones, places):
        for how in dict.fromkeys(axes.how or (LATE_HOW if where in ON_SCORES else FUSION_HOW)):
            try:
                cells.append(_cell(config, backbone, where, how, tuned=tuned))
            except ConfigError as error:
                skipped[_name(_settings(backbone, where, how))] = str(error)
    if all(cell.name != reference.name for cell in cells):
        cells.insert(0, replace(reference, in_grid=False))
    return Plan(reference.name, cells, skipped)


def _has(config: RunConfig, setting: str) -> bool:
    return setting in type(config.model).model_fields


def _own(config: RunConfig, setting: str) -> str | None:
    """What the configuration itself says; None where the model has no such setting."""
    return str(getattr(config.model, setting)) if _has(config, setting) else None


def _choices(config: RunConfig, setting: str) -> tuple[str, ...]:
    """The values of a setting that has a list of them."""
    fields = type(config.model).model_fields
    return get_args(fields[setting].annotation) if setting in fields else ()


def _values(
    config: RunConfig,
    setting: str,
    option: str,
    asked: Sequence[str] | None,
    default: Sequence[str],
) -> list[str | None]:
    """The values on an axis; one None where the model has no such setting."""
    if not _has(config, setting):
        if asked is None:
            return [None]
        raise ConfigError(f"Model {config.model.name!r} has no setting {setting}. Remove {option}.")
    if asked is not None and not asked:
        raise ConfigError(f"{option} is empty, and so is the grid. Name one value or more.")
    known = _choices(config, setting)
    for value in asked or ():
        if known and value not in known:
            raise ConfigError(
                f"{option}: unknown {setting} {value!r}.{nearest(value, known)} "
                f"Known: {', '.join(known)}."
            )
    return list(dict.fromkeys(asked or default))


def _require_how(config: RunConfig, asked: Sequence[str] | None) -> None:
    """Refuse a ``how`` that no ``where`` knows."""
    if asked is None:
        return
    if not asked:
        raise ConfigError("--how is empty, and so is the grid. Name one value or more.")
    late = _choices(config, "late")
    for value in asked:
        if value not in late:
            resolve(value, dict.fromkeys((*FUSIONS, *late)), "--how")


def _how_setting(where: str | None) -> str:
    return "late" if where in ON_SCORES else "fusion"


def _settings(backbone: str | None, where: str | None, how: str) -> dict[str, str]:
    given = {"backbone": backbone, "where": where, _how_setting(where): how}
    return {name: value for name, value in given.items() if value is not None}


def _name(settings: Mapping[str, str]) -> str:
    """Of the cell, and of its folder."""
    return re.sub(r"[^\w.-]+", "-", "-".join(settings.values()))


def _cell(
    base: RunConfig, backbone: str | None, where: str | None, how: str, *, tuned: bool
) -> Cell:
    """Put the configuration under the settings of a cell, without those that these switch off.

    Raises:
        ConfigError: the combination is refused.
    """
    settings = _settings(backbone, where, how)
    name = _name(settings)
    table: dict[str, Json] = base.model_dump(mode="json", exclude={"search"})
    model, run = table["model"], table["run"]
    assert isinstance(model, dict)
    assert isinstance(run, dict)
    model |= settings
    run["name"] = name
    search = dict(base.search) if tuned else {}
    left_out: list[str] = []
    while True:
        try:
            config = validate(table)
            return Cell(name, settings, _searched(config, base, search, tuned), left_out)
        except ConfigError as error:
            found = HAS_NO_EFFECT.search(str(error))
            idle = found[1] if found else ""
            key = f"model.{idle}"
            if idle in settings or not (idle in model or key in search):
                raise
            model.pop(idle, None)
            search.pop(key, None)
            left_out.append(key)


def _searched(
    config: RunConfig, base: RunConfig, search: Mapping[str, SearchRange], tuned: bool
) -> RunConfig:
    """The configuration with the space that applies to it, and without final seeds of its own."""
    if not tuned:
        return config
    from graphrec.tuning.search import space_of
    from graphrec.tuning.space import applying

    kept = applying(config, search)
    if base.search and not kept:
        raise ConfigError("no setting of [search] has an effect. Add one that has.")
    tune = config.tune.model_copy(update={"final_seeds": 0})
    config = config.model_copy(update={"search": kept, "tune": tune})
    own = space_of(config).own
    for name in VARIED:
        if f"model.{name}" in own:
            raise ConfigError(
                f"[search] model.{name}: the grid varies it, so that trials cannot. Remove it."
            )
    return config
