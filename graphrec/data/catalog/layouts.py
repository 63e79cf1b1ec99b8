"""Resolve a data set by name: its settings under the user's own, and the folder of its files."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.names import resolve
from graphrec.data.catalog.entries import CATALOG, CatalogEntry, Layout
from graphrec.data.config import DataConfig

__all__ = [
    "CATALOG",
    "data_folders",
    "entry_of",
    "file_settings",
    "find_layout",
    "with_catalog_defaults",
]

ADJUSTABLE = ("name", "clean", "item_columns", "item_title")
"""Keys of ``[data]`` that may stand beside ``name``; the catalog sets the others."""
PATHS = ("path", "train", "valid", "test", "items")


def entry_of(name: str) -> CatalogEntry:
    """Return the entry of a catalog name, or of ``"package.module:ENTRY"`` of the user.

    Raises:
        ConfigError: the name is unknown or stands for another kind of object.
    """
    entry = resolve(name, CATALOG, "data set")
    if not isinstance(entry, CatalogEntry):
        raise ConfigError(f"Data set {name!r} is no CatalogEntry.")
    return entry


def with_catalog_defaults(value: Mapping[str, object]) -> dict[str, object]:
    """Merge the catalog's adjustable settings under the user's own, key by key.

    Raises:
        ConfigError: the name is unknown, or a setting beside it belongs to the catalog.
    """
    merged = dict(value)
    name = merged.get("name")
    if not isinstance(name, str):
        return merged
    entry = entry_of(name)
    for key, info in DataConfig.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if key not in ADJUSTABLE and merged.get(key, default) != default:
            raise ConfigError(
                f"data.{key} cannot stand beside data.name = {name!r}: the catalog sets it. "
                f"Beside name only {', '.join(ADJUSTABLE[1:])} are allowed; for your own files "
                f"leave name out."
            )
    defaults: dict[str, dict[str, object]] = {
        "clean": _table(entry.clean),
        "item_columns": {key: _table(column) for key, column in entry.item_columns.items()},
    }
    for key, table in defaults.items():
        own = merged.get(key, {})
        own = _table(own) if isinstance(own, BaseModel) else own
        if isinstance(own, Mapping):
            merged[key] = {**table, **own}
    _require_weights(name, entry, merged["clean"])
    return merged


def _require_weights(name: str, entry: CatalogEntry, clean: object) -> None:
    """Refuse a smallest weight where the files hold none and repeated pairs are not counted."""
    if not isinstance(clean, Mapping) or clean.get("min_weight") is None:
        return
    weighted = any("weight" in layout.settings for layout in entry.layouts)
    if not weighted and clean.get("duplicates") != "sum":
        raise ConfigError(
            f"data.clean.min_weight has no effect: data set {name!r} has no weights. Remove it."
        )


def _table(config: BaseModel) -> dict[str, object]:
    return config.model_dump(exclude_unset=True)


def data_folders(entry: CatalogEntry) -> list[Path]:
    """Return the folders in which the files of an entry are looked for, in order."""
    roots = [Path("data"), Path("data/raw"), Path(__file__).parents[3] / "data"]
    if "GRAPHREC_DATA" in os.environ:
        roots.insert(0, Path(os.environ["GRAPHREC_DATA"]))
    return [(root / entry.folder).absolute() for root in roots]


def find_layout(entry: CatalogEntry, folder: Path) -> Layout | None:
    """Return the first layout all of whose files exist in ``folder``."""
    for layout in entry.layouts:
        if all((folder / file).is_file() for file in layout.files):
            return layout
    return None


def file_settings(name: str, folder: Path | None = None) -> DataConfig:
    """Return the settings that read the files of data set ``name``.

    The files are looked for in ``folder``, or else in the usual folders.

    Raises:
        DataError: no folder holds them; the message names the folders tried and the remedy.
    """
    entry = entry_of(name)
    tried = [folder.absolute()] if folder is not None else data_folders(entry)
    for place in tried:
        layout = find_layout(entry, place)
        if layout is not None:
            table = {
                key: place / str(value) if key in PATHS else value
                for key, value in layout.settings.items()
            }
            return DataConfig.model_validate(table)
    listed = "\n  ".join(str(place) for place in dict.fromkeys(tried))
    raise DataError(
        f"The files of data set {name!r} ({entry.wanted}) are in none of these folders:\n"
        f"  {listed}\n"
        f"Run `graphrec data get {name} [--from DIR]`, or point GRAPHREC_DATA to the folder that "
        f"holds {entry.folder}/. Source: {entry.page}"
    )
