"""Read NumPy files: pairs of integer ids (.npy, .npz), or one 1-d array per column (.npz)."""

import io
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.names import nearest
from graphrec.data.config import DataConfig
from graphrec.data.sources import Source, read_bytes

PART_COLUMN: Final = "part"
"""Column in which ``read_arrays`` notes the part that a pair came from."""

Array = npt.NDArray[np.generic]


def read_pairs(source: Source, config: DataConfig) -> pl.DataFrame:
    """Read a .npy file ``[2, n]`` or ``[n, 2]`` (user, item); ``[2, 2]`` counts as ``[2, n]``.

    Raises:
        DataError: the array has another shape or type, or holds a negative id.
    """
    array = np.load(io.BytesIO(read_bytes(source.path)), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise source.error("it is an archive of arrays. Name it .npz")
    return _pairs(source, "", array, config)


def read_arrays(source: Source, config: DataConfig) -> pl.DataFrame:
    """Read a .npz archive: pair arrays of the parts, or one 1-d array per column.

    With ``data.arrays`` each named array is ``[2, n]`` or ``[n, 2]`` (user, item). Without it
    the archive is a table whose columns are its 1-d arrays as long as the user array.

    Raises:
        DataError: an array is missing, has another shape or type, or holds a negative id.
    """
    archive = np.load(io.BytesIO(read_bytes(source.path)), allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise source.error("it is one array. Name it .npy")
    with archive:
        if config.arrays:
            parts = [
                _pairs(source, f" {name!r}", _member(archive, name, source), config).with_columns(
                    pl.lit(part).alias(config.label or PART_COLUMN)
                )
                for part, name in config.arrays.items()
            ]
            return pl.concat(parts)
        for name in (config.user, config.item):
            _require_ids(source, f" {name!r}", _member(archive, name, source))
        columns = {name: archive[name] for name in archive.files}
    shape, other = columns[config.user].shape, columns[config.item].shape
    if len(shape) != 1 or shape != other:
        raise source.error(
            f"array {config.item!r} has shape {other}, but {config.user!r} has {shape}. Both must "
            f"have one dimension and one length"
        )
    return pl.DataFrame({n: _series(array) for n, array in columns.items() if array.shape == shape})


def _series(array: Array) -> pl.Series:
    """Return a column; dates in units that polars does not have become microseconds."""
    return pl.Series(array.astype("M8[us]") if array.dtype.kind == "M" else array)


def _member(archive: "np.lib.npyio.NpzFile", name: str, source: Source) -> Array:
    if name not in archive.files:
        if "indptr" in archive.files:
            raise source.error(
                "it is a sparse matrix of SciPy in rows or columns. Save matrix.tocoo() with "
                'scipy.sparse.save_npz, and set data.user = "row", data.item = "col" and '
                'data.weight = "data"'
            )
        raise source.error(
            f"it has no array {name!r}.{nearest(name, archive.files)} "
            f"Arrays: {', '.join(archive.files)}. Set data.arrays, or data.user and data.item"
        )
    array: Array = archive[name]
    return array


def _pairs(source: Source, name: str, array: Array, config: DataConfig) -> pl.DataFrame:
    if array.ndim != 2 or 2 not in array.shape:
        raise source.error(f"array{name} has shape {array.shape}; pairs are [2, n] or [n, 2]")
    _require_ids(source, name, array)
    users, items = array if array.shape[0] == 2 else array.T
    return pl.DataFrame({config.user: users, config.item: items})


def _require_ids(source: Source, name: str, array: Array) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise source.error(f"array{name} is {array.dtype}; ids are integers from 0 on")
    if array.size and (smallest := int(np.min(array))) < 0:
        raise source.error(f"array{name} holds the id {smallest}; ids start at 0")
