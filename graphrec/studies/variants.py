"""Variants of one experiment: what is trained, under which name, or why it cannot be."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from graphrec.config import RunConfig, TuneConfig
from graphrec.config.run import validate
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.features.controls import Control
from graphrec.features.missing.config import MissingConfig
from graphrec.features.tabular.neighbours import NeighbourConfig

FULL = "full"
ID_ONLY = "id only"


@dataclass(frozen=True)
class Variant:
    """One row of a study.

    Attributes:
        label: its name in tables.
        folder: start of the names of its run folders; variants of equal settings share them.
        settings: what is trained; None where that is impossible, and ``skipped`` says why.
        attributes: what tells it from the others, by name.
    """

    label: str
    folder: str
    settings: RunConfig | None
    attributes: dict[str, Json] = field(default_factory=dict)
    skipped: str = ""


def base_of(config: RunConfig) -> RunConfig:
    """The experiment, without what belongs to it alone: published numbers, baselines, a search."""
    evaluation = config.evaluation.model_copy(update={"baselines": ()})
    nothing: dict[str, object] = {
        "paper": None,
        "published": {},
        "tolerance": {},
        "search": {},
        "tune": TuneConfig(),
    }
    return config.model_copy(update={**nothing, "evaluation": evaluation})


def variant(
    base: RunConfig, label: str, make: Callable[[], RunConfig], attributes: dict[str, Json]
) -> Variant:
    """A variant named in tables of runs as well; impossible settings become its reason."""
    folder = re.sub(r"[^\w.-]+", "-", label)
    try:
        settings = make()
        name = f"{base.run.name or base.model.name}, {label}"
        run = settings.run.model_copy(update={"name": name})
        settings = validate(settings.model_copy(update={"run": run}).model_dump(mode="json"))
    except ConfigError as error:
        return Variant(label, folder, None, attributes, str(error))
    return Variant(label, folder, settings, attributes)


def sharing_folders(variants: Sequence[Variant]) -> list[Variant]:
    """The same variants; one with the settings of an earlier one has its run folders.

    Raises:
        ConfigError: different ones would have the same folder.
    """
    found: list[Variant] = []
    for each in variants:
        twin = next((other for other in found if _equal(other, each)), None)
        if twin is not None:
            each = Variant(each.label, twin.folder, twin.settings, each.attributes, each.skipped)
        elif any(other.folder == each.folder for other in found):
            raise ConfigError(
                f"The run folders of {each.label!r} would be those of another variant, "
                f"{each.folder}. Rename one of the modalities."
            )
        found.append(each)
    return found


def _equal(one: Variant, other: Variant) -> bool:
    if one.settings is None or other.settings is None:
        return False
    run = one.settings.run.model_copy(update={"name": other.settings.run.name})
    return one.settings.model_copy(update={"run": run}) == other.settings


def modality_variants(config: RunConfig) -> list[Variant]:
    """The experiment; without, with only, and with a control of each modality; and ids only."""
    base, names = base_of(config), list(config.features)
    found = [variant(base, FULL, lambda: base, {"modality": None, "change": FULL})]
    for name in names:
        others = [other for other in names if other != name]
        changes = {
            "without": partial(with_only, base, others),
            "only": partial(with_only, base, [name]),
            "shuffled": partial(_with_control, base, name, "shuffled"),
            "noise": partial(_with_control, base, name, "noise"),
        }
        for change, make in changes.items():
            attributes: dict[str, Json] = {"modality": name, "change": change}
            found.append(variant(base, f"{change} {name}", make, attributes))
    ids = partial(with_only, base, [])
    found.append(variant(base, ID_ONLY, ids, {"modality": None, "change": ID_ONLY}))
    return sharing_folders(found)


def _with_control(base: RunConfig, name: str, control: Control) -> RunConfig:
    return base.model_copy(update={"controls": {**base.controls, name: control}})


def with_only(base: RunConfig, names: Collection[str]) -> RunConfig:
    """The experiment with some of its modalities, and without settings that need the others.

    Raises:
        ConfigError: nothing would be left to learn from.
    """
    features = {name: base.features[name] for name in names}
    lists = [name for name, each in features.items() if isinstance(each, NeighbourConfig)]
    matrices = [name for name in features if name not in lists]
    return base.model_copy(
        update={
            "features": features,
            "controls": {name: base.controls[name] for name in base.controls if name in names},
            "missing": _missing(base.missing, names),
            "model": base.model.restricted_to(matrices, lists),
        }
    )


def _missing(missing: MissingConfig, names: Collection[str]) -> MissingConfig:
    """The table without modalities that are gone; none at all if nothing is left to act on."""
    if missing.modalities is None:
        return missing if names else MissingConfig()
    kept = tuple(name for name in missing.modalities if name in names)
    return missing.model_copy(update={"modalities": kept}) if kept else MissingConfig()


def folders(variants: Sequence[Variant]) -> dict[str, RunConfig]:
    """What is to be trained, by folder, each once."""
    return {each.folder: each.settings for each in variants if each.settings is not None}
