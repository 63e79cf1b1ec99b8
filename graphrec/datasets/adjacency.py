"""Layouts that hold integer ids only: adjacency lists and NumPy archives."""

import gzip
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.config import DataConfig
from graphrec.errors import DataError
from graphrec.names import nearest

PART_COLUMN: Final = "part"
"""Column in which ``read_arrays`` notes the part that a pair came from."""


def read_adjacency(path: Path, config: DataConfig) -> pl.DataFrame:
    """Read lines ``user item item ...``; a line with a user and no item holds no interaction.

    Raises:
        DataError: a token is no integer or is negative; the line is named.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    lines = pl.DataFrame({"tokens": text.splitlines()}, schema={"tokens": pl.String})
    tokens = (
        lines.with_row_index("line", offset=1)
        .with_columns(pl.col("tokens").str.extract_all(r"\S+"))
        .explode("tokens")
        .drop_nulls("tokens")
        .with_columns(pl.col("tokens").cast(pl.Int64, strict=False).alias("id"))
    )
    bad = tokens.filter(pl.col("id").is_null() | (pl.col("id") < 0))
    if len(bad):
        line, token, _ = bad.row(0)
        raise DataError(
            f"{path}, line {line}: {token!r} is not an id; an adjacency list holds integers "
            f"from 0 on: user item item ..."
        )
    first = pl.col("line") != pl.col("line").shift(1)
    pairs = tokens.with_columns(
        first=first.fill_null(True), user=pl.col("id").first().over("line")
    ).filter(~pl.col("first"))
    return pairs.select(pl.col("user").alias(config.user), pl.col("id").alias(config.item))


def read_arrays(path: Path, config: DataConfig) -> pl.DataFrame:
    """Read a .npz archive: pair arrays of the parts, or one 1-d array per column.

    With ``data.arrays`` each named array is ``[2, n]`` or ``[n, 2]`` (user, item). Without it
    the archive is a table whose columns are its 1-d arrays as long as the user array.

    Raises:
        DataError: an array is missing, has another shape or type, or holds a negative id.
    """
    with np.load(path, allow_pickle=False) as archive:
        if config.arrays:
            parts = [
                _pairs(path, name, _member(archive, name, path), config).with_columns(
                    pl.lit(part).alias(config.label or PART_COLUMN)
                )
                for part, name in config.arrays.items()
            ]
            return pl.concat(parts)
        length = len(_member(archive, config.user, path))
        columns = {name: archive[name] for name in archive.files}
    table = {name: array for name, array in columns.items() if array.shape == (length,)}
    for name in {config.user, config.item} & table.keys():
        _require_ids(path, name, table[name])
    return pl.DataFrame(table)


def _member(archive: "np.lib.npyio.NpzFile", name: str, path: Path) -> npt.NDArray[np.generic]:
    if name not in archive.files:
        raise DataError(
            f"{path} has no array {name!r}.{nearest(name, archive.files)} "
            f"Arrays: {', '.join(archive.files)}. Set data.arrays, or data.user and data.item."
        )
    array: npt.NDArray[np.generic] = archive[name]
    return array


def _pairs(
    path: Path, name: str, array: npt.NDArray[np.generic], config: DataConfig
) -> pl.DataFrame:
    if array.ndim != 2 or 2 not in array.shape:
        raise DataError(
            f"{path}: array {name!r} has shape {array.shape}; pairs are [2, n] or [n, 2]."
        )
    _require_ids(path, name, array)
    users, items = array if array.shape[0] == 2 else array.T
    return pl.DataFrame({config.user: users, config.item: items})


def _require_ids(path: Path, name: str, array: npt.NDArray[np.generic]) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{path}: array {name!r} is {array.dtype}; ids are integers from 0 on.")
    if array.size and (smallest := int(np.min(array))) < 0:
        raise DataError(f"{path}: array {name!r} holds the id {smallest}; ids start at 0.")
