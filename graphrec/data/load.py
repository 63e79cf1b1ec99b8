"""Load the files that a ``DataConfig`` names as a clean ``Dataset``."""

import re
from pathlib import Path

import numpy as np
import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.catalog.entries import CatalogEntry
from graphrec.data.catalog.inspect import require_expected
from graphrec.data.catalog.layouts import entry_of, file_settings, with_catalog_defaults
from graphrec.data.cleaning import filter_rows, to_pairs
from graphrec.data.config import DataConfig
from graphrec.data.dataset import Dataset
from graphrec.data.interactions import Interactions
from graphrec.data.items import item_table
from graphrec.data.readers import read_interactions
from graphrec.data.roles import ITEM, PART, TIME, USER, WEIGHT, require_column
from graphrec.data.split import require_disjoint
from graphrec.data.vocabulary import Vocabulary

PATH = re.compile(r"[/\\.]")
"""Pattern of characters that occur in paths but in no name of a data set."""


def load(
    config: DataConfig | str, folder: Path | None = None, *, known: Dataset | None = None
) -> Dataset:
    """Read, clean and number the interactions; a string names a data set of the catalog.

    The files of a catalog data set are looked for in ``folder``, or else in the usual folders.

    Interactions are sorted by user and item, and ids by value, so that the result (and its
    fingerprint) does not depend on the order of the rows.

    Args:
        config: the settings, or the name of a catalog data set.
        folder: folder of the files of a catalog data set.
        known: a data set that these data extend: its users and items keep their internal ids, and
            new ones are numbered after them. Users and items that are not in the new rows stay
            without interactions.

    Raises:
        DataError: a file or its content is not what the configuration or the catalog says.
        ConfigError: a setting is unknown or contradicts another one.
    """
    a_file = isinstance(config, str) and ":" not in config and PATH.search(config)
    if a_file or not isinstance(config, str | DataConfig):
        raise ConfigError(
            f"load takes a DataConfig or the name of a data set, not {config!r}. For a file "
            f"write load(DataConfig(path=...))."
        )
    if isinstance(config, str):
        config = DataConfig(name=config)
    if config.name is None:
        path = config.path or config.train
        assert path is not None
        return _load(config, path.name.partition(".")[0], known)
    resolved = with_catalog_defaults(config.model_dump(exclude_unset=True))
    config = DataConfig.model_validate(resolved)
    assert config.name is not None
    entry = entry_of(config.name)
    files = file_settings(config.name, folder)
    require_expected(config.name, entry, files)
    adjustable = {
        "clean": config.clean,
        "item_columns": config.item_columns,
        "item_title": config.item_title or files.item_title,
    }
    try:
        dataset = _load(files.model_copy(update=adjustable), config.name, known)
    except DataError as error:
        if config.clean != entry.clean:
            raise
        raise DataError(
            f"{error} Data set {config.name!r} is read by settings of the catalog: if its files "
            f"are another version, see {entry.page}, or `graphrec data info {config.name}`."
        ) from error
    if config.clean == entry.clean and known is None:
        _verify_counts(dataset, entry)
    return dataset


def _load(config: DataConfig, name: str, known: Dataset | None) -> Dataset:
    rows, filtered = filter_rows(_read(config), config.clean, name)
    pairs, reduced = to_pairs(rows, config.clean, name)
    users = Vocabulary.of(pairs[USER], config.num_users, "user", name)
    items = Vocabulary.of(pairs[ITEM], config.num_items, "item", name)
    if known is not None:
        users = known.users.extended(users.ids, "user", name)
        items = known.items.extended(items.ids, "item", name)
    table, joined = item_table(config, rows, items.ids, name)

    if config.item_title is not None:
        titled = pl.DataFrame() if table is None else table
        require_column(titled, config.item_title, "the item table", "data.item_title")

    rows_of_users, rows_of_items = users.numbers_of(pairs[USER]), items.numbers_of(pairs[ITEM])
    order = np.lexsort((rows_of_items, rows_of_users))
    interactions = Interactions(
        users=rows_of_users,
        items=rows_of_items,
        num_users=len(users),
        num_items=len(items),
        times=pairs[TIME].to_numpy() if TIME in pairs.columns else None,
        weights=pairs[WEIGHT].to_numpy() if WEIGHT in pairs.columns else None,
    ).select(order)
    parts = pairs[PART].to_numpy()[order] if PART in pairs.columns else None
    steps = (*filtered, *reduced, *joined)
    source = config.path or config.train
    assert source is not None
    dataset = Dataset(
        *(name, interactions, users.ids, items.ids, table, config.item_title, parts, steps),
        folder=source.parent,
        vocabularies=None if known is None else (users, items),
    )
    if parts is not None:
        require_disjoint(dataset, parts)
    return dataset


def _read(config: DataConfig) -> pl.DataFrame:
    """Read the single file, or the files of a given split with their part in ``@part``."""
    if config.path is not None:
        return read_interactions(config.path, config)
    frames = []
    for code, path in enumerate((config.train, config.valid, config.test)):
        if path is not None:
            frame = read_interactions(path, config)
            if PART in frame.columns:
                raise ConfigError(
                    f"{path} names the part of each row itself (data.label, data.arrays or "
                    f"MMRec's x_label), and so do data.train and data.test. Give it as data.path."
                )
            frames.append(frame.with_columns(pl.lit(code, dtype=pl.Int8).alias(PART)))
    return pl.concat(frames, how="diagonal_relaxed")


def _verify_counts(dataset: Dataset, entry: CatalogEntry) -> None:
    statistics = dataset.statistics()
    for what, expected in entry.counts.items():
        if statistics[what] != expected:
            raise DataError(
                f"Data set {dataset.name!r} has {statistics[what]} {what}, but the catalog "
                f"expects {expected}. The files are incomplete or another version: see "
                f"{entry.page}, or run `graphrec data get {dataset.name}` again."
            )
