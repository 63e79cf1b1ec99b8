"""How a model bears missing modalities: rates by mechanisms by strategies."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

from graphrec.config import RunConfig
from graphrec.config.run import validate
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.features.missing.config import MissingConfig
from graphrec.features.tabular.neighbours import NeighbourConfig
from graphrec.studies.pages import draw_curves, write_report
from graphrec.studies.record import VariantsResult, write_result
from graphrec.studies.study import Plan, carry_out, require_modalities
from graphrec.studies.variants import Variant, base_of, sharing_folders, variant

COMPLETE = "complete"
ONE_BY_ONE = "modality"
"""The mechanism that acts on a single modality: it is run for each."""

MASK = "mask"
PLURAL = {"mechanism": "mechanisms", "strategy": "strategies"}


@dataclass(frozen=True)
class Grid:
    """What is crossed.

    Attributes:
        rates: in [0, 1); 0 is one variant that all others share, without any filling.
        mechanisms, strategies: names of ``MissingConfig``.
        modalities: that lose items; by default all. ``modality`` is run for each one alone.
    """

    rates: tuple[float, ...] = (0.0, 0.3, 0.6, 0.9)
    mechanisms: tuple[str, ...] = ("random", "popularity", "modality")
    strategies: tuple[str, ...] = ("mask", "mean", "neighbours")
    modalities: tuple[str, ...] | None = None


def study(
    config: RunConfig, grid: Grid, out: Path, seeds: int, workers: int, metric: str | None
) -> VariantsResult:
    """Train all cells and compare them; see ``graphrec.studies.study_missing``."""
    require_modalities(config, "missing")
    variants = missing_variants(config, grid)
    plan = Plan("missing", config, variants, _compared_with(variants), metric)
    result = carry_out(plan, out, seeds, workers)
    write_result(out, result)
    write_report(out, result, draw_curves(result))
    return result


def missing_variants(config: RunConfig, grid: Grid) -> list[Variant]:
    """The experiment as it is, then every cell of the grid.

    Raises:
        ConfigError: a rate or a name is none, or the experiment has a [missing] of its own.
    """
    _require_sound(config, grid)
    base, rates = base_of(config), sorted({rate for rate in grid.rates if rate > 0})
    names = grid.modalities or tuple(config.features)
    panels: list[tuple[str, str | None]] = []
    for mechanism in grid.mechanisms:
        alone = names if mechanism == ONE_BY_ONE else (None,)
        panels += [(mechanism, modality) for modality in alone]
    found = [variant(base, COMPLETE, lambda: base, _attributes(None, None, 0.0, None))]
    for (mechanism, modality), rate, strategy in product(panels, rates, grid.strategies):
        panel = mechanism if modality is None else f"{mechanism} {modality}"
        table: dict[str, Json] = {"mechanism": mechanism, "rate": rate, "strategy": strategy}
        if modality is not None or grid.modalities:
            table["modalities"] = list(names) if modality is None else [modality]
        make = partial(_with_missing, base, table)
        attributes = _attributes(mechanism, modality, rate, strategy)
        found.append(variant(base, f"{panel} {rate:g} {strategy}", make, attributes))
    return sharing_folders(found)


def _attributes(
    mechanism: str | None, modality: str | None, rate: float, strategy: str | None
) -> dict[str, Json]:
    return {"mechanism": mechanism, "modality": modality, "rate": rate, "strategy": strategy}


def _with_missing(base: RunConfig, table: Json) -> RunConfig:
    return validate({**base.model_dump(mode="json"), "missing": table})


def _compared_with(variants: Sequence[Variant]) -> dict[str, str]:
    """Every strategy is compared with mask, where there is a row of it for the same items."""
    masked = {_cell(each): each.label for each in variants if each.attributes["strategy"] == MASK}
    return {
        each.label: masked[_cell(each)]
        for each in variants
        if _cell(each) in masked and each.label != masked[_cell(each)]
    }


def _cell(each: Variant) -> tuple[Json, ...]:
    return tuple(each.attributes[name] for name in ("mechanism", "modality", "rate"))


def _require_sound(config: RunConfig, grid: Grid) -> None:
    if config.missing.active:
        raise ConfigError(
            "graphrec missing sets the table [missing] itself. Remove it, and choose what is taken "
            "by --rates, --mechanisms, --strategies and --modalities."
        )
    for rate in grid.rates:
        if not 0 <= rate < 1:
            raise ConfigError(f"--rates: {rate:g} is no rate; it must be at least 0 and below 1.")
    for option, given in (("mechanism", grid.mechanisms), ("strategy", grid.strategies)):
        known = get_args(MissingConfig.model_fields[option].annotation)
        _require_known(f"--{PLURAL[option]}", given, known)
    _require_known("--modalities", grid.modalities or (), list(config.features))
    for name in grid.modalities or config.features:
        if isinstance(config.features[name], NeighbourConfig):
            raise ConfigError(
                f"[features.{name}] holds lists of neighbours and no rows, so nothing can be taken "
                f"from it or filled. Name the other modalities with --modalities, or remove it."
            )


def _require_known(option: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{option}: {name!r} is unknown.{nearest(name, known)} Known: {', '.join(known)}."
            )
