"""Read a file as one table of raw rows, with the roles (user, item, ...) beside the raw columns.

Ids stay text until the vocabulary is built, so that "007" and "7" remain two ids; fields of text
files stay text until a caller needs a number. The role columns start with ``@``; every other column
comes from the file and serves rules and attributes.
"""

import re
from pathlib import Path

import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.adjacency import read_adjacency
from graphrec.data.arrays import read_arrays, read_pairs
from graphrec.data.columns import plain_columns, require_fit
from graphrec.data.config import DataConfig, Format, Quote
from graphrec.data.delimited import read_delimited
from graphrec.data.json_lines import read_json_lines, read_python_lines
from graphrec.data.nested import flatten_objects, unroll
from graphrec.data.roles import add_roles, require_column
from graphrec.data.sources import Source, decoding, detect_format, read_parquet

__all__ = ["detect_format", "read_interactions", "read_item_table"]

WITHOUT_COLUMNS = ("adjacency", "npz", "npy")
LABELLED = re.compile(r"^(.+):(?:token|token_seq|float|float_seq)$")
"""Pattern of a column name of RecBole's atomic files."""
NAMES = {
    "mmrec": {"user": "userID", "item": "itemID", "label": "x_label"},
    "recbole": {"user": "user_id", "item": "item_id", "time": "timestamp", "weight": "rating"},
}
"""Columns that have the roles where the configuration leaves the defaults."""


def read_interactions(path: Path, config: DataConfig) -> pl.DataFrame:
    """Read one file of interactions: its raw columns and the roles of ``roles.py``.

    Raises:
        DataError: the file is missing or malformed, lacks a column, or holds a bad id or time.
        ConfigError: ``data.arrays`` is set for another format.
    """
    kind = detect_format(path, config.format)
    if config.arrays and kind != "npz":
        raise ConfigError(f"data.arrays is for .npz files, but {path} is read as {kind}.")
    source = Source(path, kind, config.separator, config.quote, config.encoding)
    with decoding(source):
        labelled = _flat(_read(source, config.user, config), source)
        frame = _without_labels(labelled, kind)
        config = _with_names(config, frame, kind)
        if kind == "recbole":
            _refuse_sequences(labelled.columns, config, source)
        if config.unroll:
            separator = config.unroll_separator or (" " if kind == "recbole" else None)
            frame = _flat(unroll(frame, config, path, separator), source)
        require_fit(frame, config, source)
        return add_roles(frame, config, path)


def read_item_table(
    path: Path,
    id_column: str,
    separator: str | None = None,
    *,
    configured: Format = "auto",
    quote: Quote | None = None,
    encoding: str | None = None,
) -> pl.DataFrame:
    """Read a table with one row per item; the fields of text files are text.

    Raises:
        DataError: the file is missing or malformed or has no column ``id_column``.
    """
    kind = detect_format(path, configured, "data.items_")
    if kind in (*WITHOUT_COLUMNS, "mmrec"):
        raise DataError(
            f"{path}: an item table is a CSV, TSV, JSON lines, Parquet or .item file, not {kind}. "
            f"Set data.items_format to one of csv, tsv, jsonl, python_lines, parquet, recbole."
        )
    source = Source(path, kind, separator, quote, encoding, "data.items_")
    with decoding(source):
        frame = _without_labels(_flat(_read(source, id_column, None), source), kind)
        if kind == "recbole" and id_column == "item" and id_column not in frame.columns:
            frame = frame.rename({"item_id": id_column}, strict=False)
        require_column(frame, id_column, path, "data.items_id")
    return frame


def _read(source: Source, id_column: str, config: DataConfig | None) -> pl.DataFrame:
    """Read the raw columns; files without columns need the configuration."""
    match source.kind:
        case "parquet":
            return read_parquet(source.path)
        case "jsonl":
            return read_json_lines(source)
        case "python_lines":
            return read_python_lines(source)
    if source.kind in WITHOUT_COLUMNS and config is not None:
        read = {"adjacency": read_adjacency, "npz": read_arrays, "npy": read_pairs}[source.kind]
        return read(source, config)
    return read_delimited(source, id_column)


def _flat(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    return plain_columns(flatten_objects(frame, source.path))


def _without_labels(frame: pl.DataFrame, kind: Format) -> pl.DataFrame:
    """Strip RecBole's types from the names of the columns: ``rating:float`` becomes ``rating``."""
    if kind not in NAMES:
        return frame
    return frame.rename(lambda name: LABELLED.sub(r"\1", name))


def _refuse_sequences(labelled: list[str], config: DataConfig, source: Source) -> None:
    """Refuse an id column that RecBole's label calls a sequence, unless it is unrolled."""
    for role, name in (("user", config.user), ("item", config.item)):
        if f"{name}:token_seq" in labelled and name not in config.unroll:
            raise source.error(
                f"column {name!r}, which data.{role} names, is a token_seq: several ids in each "
                f'field. Set data.unroll = "{name}" to make a row of each'
            )


def _with_names(config: DataConfig, frame: pl.DataFrame, kind: Format) -> DataConfig:
    """Fill in the column names of MMRec or RecBole where the configuration leaves the defaults."""
    if kind not in ("mmrec", "recbole"):
        return config
    is_mmrec = kind == "mmrec" or "userID" in frame.columns
    names = NAMES["mmrec" if is_mmrec else "recbole"]
    defaults = {role: DataConfig.model_fields[role].default for role in names}
    unset = {
        role: name
        for role, name in names.items()
        if getattr(config, role) == defaults[role]
        and defaults[role] not in frame.columns
        and (name in frame.columns or kind == "mmrec")
    }
    return config.model_copy(update=unset)
