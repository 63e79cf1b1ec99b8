"""Files -> one table of raw rows, with the roles (user, item, time, ...) beside the raw columns.

Ids stay text until the vocabulary is built, so that "007" and "7" remain two ids. The role
columns start with ``@``; every other column is the file's own and serves rules and attributes.
"""

import gzip
import re
import zipfile
from pathlib import Path

import polars as pl

from graphrec.config import DataConfig, Format
from graphrec.datasets.adjacency import read_adjacency, read_arrays
from graphrec.datasets.roles import add_roles, require_column
from graphrec.errors import ConfigError, DataError

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "adjacency",
    ".npz": "npz",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
}
SEPARATORS = {"csv": ",", "tsv": "\t", "mmrec": "\t", "recbole": "\t"}
HEADERLESS = re.compile(r"column_\d+")


def read_interactions(path: Path, config: DataConfig) -> pl.DataFrame:
    """Read one file of interactions: its raw columns and the roles of ``roles.py``.

    Raises:
        DataError: the file is missing or malformed, lacks a column, or holds a bad id or time.
        ConfigError: ``data.arrays`` is set for another format.
    """
    kind = detect_format(path, config.format)
    if config.arrays and kind != "npz":
        raise ConfigError(f"data.arrays is for .npz files, but {path} is read as {kind}.")
    if kind == "mmrec":
        config = with_mmrec_columns(config)
    frame = _guarded(path, kind, config)
    return add_roles(frame, config, path)


def read_item_table(path: Path, id_column: str, separator: str | None = None) -> pl.DataFrame:
    """Read a table with one row per item; the id column is text, the others have their types.

    Raises:
        DataError: the file is missing or malformed or has no column ``id_column``.
    """
    kind = detect_format(path, "auto")
    if kind in ("adjacency", "npz", "mmrec"):
        raise DataError(
            f"{path}: an item table is a CSV, TSV, JSON lines, Parquet or .item file, not {kind}."
        )
    config = DataConfig(path=path, user=id_column, separator=separator)
    frame = _guarded(path, kind, config, typed=True)
    require_column(frame, id_column, path, "data.items_id")
    return frame


def with_mmrec_columns(config: DataConfig) -> DataConfig:
    """Fill in MMRec's column names where the configuration leaves the defaults."""
    names = {"user": "userID", "item": "itemID", "label": "x_label"}
    defaults = {key: DataConfig.model_fields[key].default for key in names}
    unset = {key: name for key, name in names.items() if getattr(config, key) == defaults[key]}
    return config.model_copy(update=unset)


def detect_format(path: Path, configured: Format) -> Format:
    """Return the configured format, or the one that the file name stands for.

    Raises:
        DataError: there is no such file, or its name tells nothing.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. Correct the path in [data].")
    if configured != "auto":
        return configured
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: the name does not tell the format. Set data.format, or use one of the "
            f"endings {', '.join(SUFFIXES)} (each also with .gz)."
        )
    if suffix == ".inter" and ":" not in _first_line(path):
        return "mmrec"
    return SUFFIXES[suffix]


def _first_line(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        return str(file.readline())


def _guarded(path: Path, kind: Format, config: DataConfig, typed: bool = False) -> pl.DataFrame:
    """Read the file; whatever the decoder says becomes a DataError that names the file."""
    try:
        return _read(path, kind, config, typed)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "utf-8" in reason.lower():
            reason = f"{_first_undecodable(path)}. Save the file as UTF-8"
        raise DataError(f"{path} cannot be read as {kind}: {reason}.") from error


def _first_undecodable(path: Path) -> str:
    """Name the first line that is not UTF-8."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"line {number} is not UTF-8: {line[:60].strip()!r}"
    return "it is not UTF-8"


def _read(path: Path, kind: Format, config: DataConfig, typed: bool) -> pl.DataFrame:
    if kind == "adjacency":
        return read_adjacency(path, config)
    if kind == "npz":
        return read_arrays(path, config)
    if kind == "parquet":
        return pl.read_parquet(path)
    if kind == "jsonl":
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return pl.read_ndjson(content, infer_schema_length=None)
    return _read_text(path, kind, config, typed)


def _read_text(path: Path, kind: Format, config: DataConfig, typed: bool) -> pl.DataFrame:
    """CSV and its kin: all text, or with inferred types (``typed``) except for the id column.

    A file without a header line has columns ``column_1``, ``column_2``, ...; it is read so when
    the user (or item id) column asked for is named like that.
    """
    separator = config.separator or SEPARATORS[kind]
    headerless = HEADERLESS.fullmatch(config.user) is not None
    header = [] if headerless else _first_line(path).rstrip("\r\n").split(separator)
    tokens = [name for name in header if ":token" in name]
    frame = pl.read_csv(
        path,
        separator=separator,
        has_header=not headerless,
        # Full scan: a type guessed from the first rows breaks on the first odd value below.
        infer_schema=typed,
        infer_schema_length=None,
        schema_overrides=dict.fromkeys([config.user, *tokens], pl.String) if not headerless else {},
        quote_char='"' if kind == "csv" else None,
    )
    if headerless:
        names = [f"column_{position + 1}" for position in range(frame.width)]
        return frame.rename(dict(zip(frame.columns, names, strict=True)))
    if kind == "recbole":
        frame = frame.rename({name: name.partition(":")[0] for name in frame.columns})
    return frame
