"""Make cells of the axes of a grid: configurations that differ in the fusion of modalities."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

from pydantic import ValidationError

from graphrec.config import RunConfig
from graphrec.config.run import validate
from graphrec.config.space import applying, space_of
from graphrec.core.config import Json, NoEffectError
from graphrec.core.errors import ConfigError
from graphrec.core.names import resolve
from graphrec.core.ranges import SearchRange
from graphrec.models.modality_attention_gcn.config import SCORED
from graphrec.nn.fusion import FUSIONS

VARIED = ("backbone", "where", "fusion", "late")
"""Settings that define a cell: ``how`` is late where scores are fused, and else fusion."""

BACKBONES = ("lightgcn", "none")
WHERE = ("early", "middle", "late")
NOWHERE = "graph"
"""Place where nothing is fused, so that there is no ``how``."""

FUSION_HOW = ("attention", "concat", "gate", "sum")
LATE_HOW = ("mean", "learned")


@dataclass(frozen=True)
class Axes:
    """Values that are crossed; None for default values, which for ``how`` depend on where."""

    backbones: tuple[str, ...] | None = None
    where: tuple[str, ...] | None = None
    how: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One combination of values.

    Attributes:
        settings: settings of the model that define the cell.
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
    """The cells to run, the reference among them, and the reasons why others cannot be run."""

    reference: str
    cells: list[Cell]
    skipped: dict[str, str]


def plan_of(config: RunConfig, axes: Axes, *, tuned: bool) -> Plan:
    """Cross the axes; the reference is the original configuration.

    Settings that have no effect in a cell are left out of it, and so are ranges of ``[search]``. A
    cell that the configuration refuses for another reason is skipped.

    Raises:
        ConfigError: the model does not fuse, an axis is empty or has an unknown value, nothing is
            to be trained, or the reference is refused.
    """
    missing = [name for name in VARIED if name not in type(config.model).model_fields]
    if missing:
        raise ConfigError(
            f"Model {config.model.name!r} has no settings {', '.join(missing)}, which graphrec "
            f"fusion varies. Set model.name = 'modality_attention_gcn'."
        )
    if not config.tune.final_seeds:
        raise ConfigError("tune.final_seeds = 0 leaves nothing to compare. Set it to 2 or more.")
    known = {name: _choices(config, name) for name in VARIED} | {"fusion": tuple(FUSIONS)}
    backbones = _values("--backbones", axes.backbones, BACKBONES, known["backbone"])
    places = _values("--where", axes.where, WHERE, known["where"])
    asked = _values("--how", axes.how, (), (*known["fusion"], *known["late"]))
    own = {name: str(getattr(config.model, name)) for name in VARIED}
    how = own[_setting_of(own["where"])]
    reference = _cell(config, own["backbone"], own["where"], how, tuned=tuned)
    cells: list[Cell] = []
    skipped = {}
    for backbone, where in product(backbones, places):
        for how in _ways(where, asked):
            if where != NOWHERE and how not in known[_setting_of(where)]:
                other = "vectors, not scores" if where in SCORED else "scores, not vectors"
                skipped[_name(_settings(backbone, where, how))] = f"{how!r} fuses {other}"
                continue
            try:
                cells.append(_cell(config, backbone, where, how, tuned=tuned))
            except ConfigError as error:
                skipped[_name(_settings(backbone, where, how))] = str(error)
    if all(cell.name != reference.name for cell in cells):
        cells.insert(0, replace(reference, in_grid=False))
    return Plan(reference.name, cells, skipped)


def _choices(config: RunConfig, setting: str) -> tuple[str, ...]:
    """Return the values of a setting that has a list of them."""
    return get_args(type(config.model).model_fields[setting].annotation)


def _values(
    option: str, asked: Sequence[str] | None, default: Sequence[str], known: Sequence[str]
) -> list[str]:
    """Return the values on an axis, without repetitions.

    Raises:
        ConfigError: a value is unknown, or there is none.
    """
    if asked is not None and not asked:
        raise ConfigError(f"{option} is empty, and so is the grid. Name one value or more.")
    for value in asked or ():
        resolve(value, dict.fromkeys(known), option)
    return list(dict.fromkeys(asked or default))


def _ways(where: str, asked: Sequence[str]) -> Sequence[str]:
    """Return the values of ``how`` at a place; without fusion there is one, with no name."""
    if where == NOWHERE:
        return ("",)
    return asked or (LATE_HOW if where in SCORED else FUSION_HOW)


def _setting_of(where: str) -> str:
    """Return the setting that ``how`` sets."""
    return "late" if where in SCORED else "fusion"


def _settings(backbone: str, where: str, how: str) -> dict[str, str]:
    place = {"backbone": backbone, "where": where}
    return place if where == NOWHERE else place | {_setting_of(where): how}


def _name(settings: Mapping[str, str]) -> str:
    """Return the name of a cell and of its folder."""
    return re.sub(r"[^\w.-]+", "-", "-".join(settings.values()))


def _cell(base: RunConfig, backbone: str, where: str, how: str, *, tuned: bool) -> Cell:
    """Apply the settings of a cell to the configuration, without settings that lose their effect.

    Raises:
        ConfigError: the combination is refused.
    """
    settings = _settings(backbone, where, how)
    name = _name(settings)
    table: dict[str, Json] = base.model_dump(mode="json", exclude={"search"})
    section, run = table["model"], table["run"]
    assert isinstance(section, dict)
    assert isinstance(run, dict)
    run["name"] = name
    others = _of_other_cells(base, settings)
    model = {key: value for key, value in section.items() if key not in others} | settings
    table["model"] = model
    search = dict(base.search) if tuned else {}
    left_out = [f"model.{key}" for key in others]
    while True:
        try:
            config = validate(table)
            return Cell(name, settings, _searched(config, base, search, tuned), left_out)
        except ConfigError as error:
            ignored = _without_effect(error)
            key = f"model.{ignored}"
            if ignored in settings or not (ignored in model or key in search):
                raise
            model.pop(ignored, None)
            search.pop(key, None)
            left_out.append(key)


def _without_effect(error: BaseException | None) -> str:
    """Return the setting that a configuration was refused for, as without effect; else nothing."""
    if isinstance(error, NoEffectError):
        return error.setting
    if isinstance(error, ValidationError):
        causes = (problem.get("ctx", {}).get("error") for problem in error.errors())
        return next(filter(None, map(_without_effect, causes)), "")
    return "" if error is None else _without_effect(error.__cause__)


def _of_other_cells(base: RunConfig, settings: Mapping[str, str]) -> list[str]:
    """Return the settings of the configuration that belong to another ``how``."""
    fields = type(base.model).model_fields
    others = {name for name in VARIED if name not in settings}
    if settings.get("late") != "weighted":
        others.add("view_weights")
    return [
        name
        for name in fields
        if name in others and getattr(base.model, name) != fields[name].default
    ]


def _searched(
    config: RunConfig, base: RunConfig, search: Mapping[str, SearchRange], tuned: bool
) -> RunConfig:
    """Return the configuration with the search space that applies to it, and no final seeds."""
    if not tuned:
        return config
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
