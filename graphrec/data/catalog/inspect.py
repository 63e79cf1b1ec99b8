"""Check, before files are read, that they hold what a catalog data set must hold."""

import gzip
import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import polars as pl

from graphrec.core.errors import DataError
from graphrec.data.catalog.entries import CatalogEntry, Layout
from graphrec.data.catalog.identities import Identity
from graphrec.data.config import DataConfig
from graphrec.data.sources import detect_format

MMREC = ("userID", "itemID", "x_label")
HEADERLESS = re.compile(r"column_\d+")
"""Pattern of the name that stands for a column of a file without a header."""


def expected(entry: CatalogEntry, config: DataConfig) -> dict[Path, tuple[str, ...]]:
    """Return, for each file of ``config``, the arrays or columns that it must hold.

    A file of adjacency lists has none.
    """
    columns: list[str | None] = []
    if config.arrays:
        columns = list(config.arrays.values())
    elif config.format == "mmrec":
        columns = list(MMREC)
    elif config.format != "adjacency":
        columns = [config.user, config.item, config.time, config.weight, config.label]
        columns += [rule.column for rule in entry.clean.rules]
        columns += [column.column for column in entry.item_columns.values()]
    files = (config.path, config.train, config.valid, config.test)
    result = {path: _named(columns) for path in files if path is not None}
    if config.items is not None:
        result[config.items] = _named([config.items_id, config.item_title])
    return result


def described(entry: CatalogEntry, layout: Layout) -> str:
    """Return the files of a layout and their required content, in one line."""
    config = DataConfig.model_validate(dict(layout.settings))
    files = []
    for path, names in expected(entry, config).items():
        if names:
            held = f"{_kind(path)}s {', '.join(names)}"
        elif config.format == "adjacency":
            held = "lines: user item item ..."
        else:
            held = "two columns without a header: item id, title"
        files.append(f"{path.name} ({held})")
    return " + ".join(files)


def require_expected(name: str, entry: CatalogEntry, config: DataConfig) -> None:
    """Refuse files without the arrays or columns of the data set ``name``.

    Raises:
        DataError: a file lacks one; the message lists the wanted and the present names.
    """
    for path, wanted in expected(entry, config).items():
        present = names_in(path, config)
        missing = [] if present is None else [column for column in wanted if column not in present]
        if present is not None and missing:
            raise DataError(
                f"{path} is not the file of data set {name!r}: it has no {_kind(path)} "
                f"{missing[0]!r}. Wanted: {', '.join(wanted)}; found: "
                f"{', '.join(present) or 'none'}. Get another version from {entry.page}; "
                f"`graphrec data info {name}` lists the files."
            )


def names_in(path: Path, config: DataConfig) -> list[str] | None:
    """Return the names of arrays or columns; None where a file has none or cannot be opened."""
    try:
        kind = detect_format(path, "auto")
        if kind == "npz":
            with np.load(path, allow_pickle=False) as archive:
                return list(archive.files)
        if kind == "parquet":
            with path.open("rb") as file:
                return list(pl.read_parquet_schema(file))
        if "adjacency" in (kind, config.format):
            return None
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            first = str(lines.readline()).rstrip("\r\n")
        if kind == "jsonl":
            return list(json.loads(first))
        return [field.partition(":")[0].strip('"') for field in re.split(r"[\t,]", first)]
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        zipfile.BadZipFile,
        pl.exceptions.PolarsError,
    ):
        return None  # the reader will say why


def _kind(path: Path) -> str:
    return "array" if path.suffix == ".npz" else "column"


def compare(path: Path, identity: Identity) -> str:
    """Return how a file compares with a file of the release: the right one, another or absent."""
    if not path.is_file():
        return "absent"
    if path.stat().st_size != identity.num_bytes:
        return f"another file: {path.stat().st_size:,} bytes"
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return "the right one" if sha256 == identity.sha256 else f"another file: sha256 {sha256}"


def _named(columns: list[str | None]) -> tuple[str, ...]:
    """Return the columns that have a name of their own, without repetitions."""
    named = [name for name in columns if name is not None and HEADERLESS.fullmatch(name) is None]
    return tuple(dict.fromkeys(named))
