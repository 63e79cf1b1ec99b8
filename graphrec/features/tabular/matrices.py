"""Precomputed features: one row per item in a .npy, .npz, .safetensors or .parquet file."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import model_validator
from safetensors import safe_open

from graphrec.core.config import AbsolutePath
from graphrec.core.errors import DataError
from graphrec.core.names import nearest
from graphrec.data import Modality
from graphrec.data.columns import plain_columns
from graphrec.data.ids import id_text, require_matching_ids
from graphrec.data.sources import read_parquet
from graphrec.features.columns import standardise
from graphrec.features.config import FeatureConfig

logger = logging.getLogger(__name__)

Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet")


class FileConfig(FeatureConfig):
    """A file with feature rows, and which item each row belongs to."""

    encoder: str = "file"
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""
    former_names: ClassVar[Mapping[str, str]] = {"normalize": "normalise"}

    path: AbsolutePath
    """A matrix (.npy, .npz, .safetensors), or a table (.parquet) with the column ``id`` and one
    numeric column per feature or one column of lists."""
    array: str | None = None
    """Name of the matrix in an .npz or .safetensors file that holds several."""
    ids: AbsolutePath | None = None
    """Text file without header: line r is the item id of row r. By default row r is item r."""
    mask: AbsolutePath | None = None
    """A .npy file of bool: whether row r holds anything."""
    missing: Literal["none", "zero_rows"] = "none"
    """zero_rows: rows of zeros stand for missing items."""
    nan: Literal["error", "missing"] = "error"
    """Rows with NaN or infinity: refuse the file, or take them as missing items."""
    normalize: Literal["none", "l2", "standard"] = "none"
    """Leave the rows, scale each row to length 1, or each column to mean 0 and deviation 1."""

    @model_validator(mode="after")
    def _settings_fit_the_file(self) -> Self:
        suffix = self.path.suffix
        if suffix not in SUFFIXES:
            raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}, not {suffix!r}")
        if self.array is not None and suffix not in (".npz", ".safetensors"):
            raise ValueError(f"array is for .npz and .safetensors: a {suffix} file holds one")
        if self.ids is not None and suffix == ".parquet":
            raise ValueError("ids is for matrices: a .parquet file has the column 'id'")
        return self


class FileEncoder:
    """Rows of a file, put in the order of the item ids; items without a row are missing."""

    Config: ClassVar[type[FeatureConfig]] = FileConfig

    def __init__(self, config: FileConfig) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items; values ``[I, F]``.

        Raises:
            DataError: a file cannot be read, rows and ids do not fit, or a value is not finite.
        """
        config = self.config
        ids = None if config.ids is None else _read_ids(config.ids)
        if config.path.suffix == ".parquet":
            matrix, ids = _read_table(config.path)
        else:
            matrix = _read_matrix(config.path, config.array)
        filled = np.ones(len(matrix), dtype=np.bool_)
        if config.mask is not None:
            filled = _read_mask(config.mask, len(matrix))

        rows = _rows_of_items(config.path, len(matrix), ids, item_ids)
        present = rows >= 0
        values = matrix[rows]
        present[present] = filled[rows[present]]
        self._settle_zero_rows(values, present)
        self._settle_nan(values, present, rows, item_ids)
        values[~present] = 0.0
        if config.normalize == "l2":
            lengths = np.linalg.norm(values, axis=1, keepdims=True)
            np.divide(values, lengths, out=values, where=lengths > 0)
        elif config.normalize == "standard" and present.any():
            values[present] = standardise(values[present])
        return Modality(values, present)

    def _settle_zero_rows(self, values: Matrix, present: Mask) -> None:
        """Mask rows of zeros where the config says so; otherwise tell that they are there."""
        zero = present & ~values.any(axis=1)
        if self.config.missing == "zero_rows":
            present[zero] = False
        elif zero.any():
            logger.warning(
                "%s: %d rows are all zeros and count as present; "
                "if they stand for missing items, set missing = 'zero_rows'",
                *(self.config.path, int(zero.sum())),
            )

    def _settle_nan(
        self, values: Matrix, present: Mask, rows: npt.NDArray[np.int64], item_ids: pl.Series
    ) -> None:
        """Refuse or mask rows that are not finite."""
        bad = present & ~np.isfinite(values).all(axis=1)
        if not bad.any():
            return
        if self.config.nan == "error":
            item = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{self.config.path}: row {rows[item]} (item {item_ids[item]!r}) holds NaN, or a "
                f"value beyond float32 ({int(bad.sum())} such rows). Repair them, or set "
                f"nan = 'missing' to take these items as missing."
            )
        logger.warning("%s: %d rows with NaN count as missing", self.config.path, int(bad.sum()))
        present[bad] = False


def _rows_of_items(
    path: Path, num_rows: int, ids: pl.Series | None, item_ids: pl.Series
) -> npt.NDArray[np.int64]:
    """Return the row of each item ``[I]``, -1 where it has none."""
    by_number = ids is None
    numbered = pl.int_range(num_rows, eager=True).cast(pl.String)
    ids = numbered if ids is None else id_text(ids, path)
    if len(ids) != num_rows:
        raise DataError(
            f"{path} has {num_rows} rows, but {len(ids)} ids are given. Give one id per row, and "
            f"no header."
        )
    if ids.is_duplicated().any():
        twice = ids.filter(ids.is_duplicated())[0]
        places = (ids == twice).arg_true().to_list()
        raise DataError(
            f"{path}: rows {places[0]} and {places[1]} both have the id {twice!r}. Keep one row "
            f"per item."
        )
    if not by_number:
        require_matching_ids(item_ids, ids, path, "ids")
    table = pl.DataFrame({"id": ids, "row": np.arange(num_rows)})
    found = pl.DataFrame({"id": item_ids}).join(table, on="id", how="left", maintain_order="left")
    rows = found["row"]
    if by_number and rows.null_count():
        item = found.filter(pl.col("row").is_null())["id"][0]
        raise DataError(
            f"{path} has {num_rows} rows, but no row for {rows.null_count()} of the "
            f"{len(item_ids)} items: {item!r} is not a number from 0 to {num_rows - 1}. Without "
            f"ids, row r belongs to item r; give ids if the rows have another order."
        )
    unknown = num_rows - (len(rows) - rows.null_count())
    if unknown:
        logger.info("%s: %d of %d rows belong to no item of the data", path, unknown, num_rows)
    result: npt.NDArray[np.int64] = rows.fill_null(-1).to_numpy(writable=True)
    return result


def _read_matrix(path: Path, array: str | None) -> Matrix:
    """Read a matrix ``[rows, F]`` as float32."""
    try:
        values = _read_array(path, array)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes decoders raise anything
        raise _unreadable(path, error) from error
    if values.dtype.kind not in "fiub" or values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}, not a matrix of numbers with "
            f"one row per item. Reshape it to [rows, features]."
        )
    return _as_float32(values)


def _read_array(path: Path, array: str | None) -> npt.NDArray[np.generic]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as tensors:  # torch, as NumPy has no bfloat16
            tensor = tensors.get_tensor(_choose(path, array, list(tensors.keys())))
        result: npt.NDArray[np.generic] = tensor.float().numpy()
        return result
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    if path.suffix == ".npy":
        raise DataError(f"{path} is an archive of arrays. Name it .npz and set array to one.")
    with loaded:
        name = _choose(path, array, loaded.files)
        result = loaded[name]
    if not isinstance(result, np.ndarray):
        raise DataError(f"Cannot read {path}: {name} is no array. Save it with numpy.savez.")
    return result


def _choose(path: Path, array: str | None, names: list[str]) -> str:
    """Return the name of the array to read: the one asked for, or the only one."""
    if array is None and len(names) == 1:
        return names[0]
    if array is None:
        raise DataError(f"{path} holds {len(names)} arrays: {', '.join(names)}. Set array to one.")
    if array not in names:
        raise DataError(
            f"{path} has no array {array!r}.{nearest(array, names)} Arrays: {', '.join(names)}."
        )
    return array


def _read_table(path: Path) -> tuple[Matrix, pl.Series]:
    """Read the features and ids of a .parquet file; nulls become NaN."""
    try:
        table = plain_columns(read_parquet(path))
    except (Exception, pl.exceptions.PanicException) as error:
        raise _unreadable(path, error) from error
    if "id" not in table.columns:
        raise DataError(
            f"{path} has no column 'id' with the item ids. Rename the column that holds them. "
            f"Columns: {', '.join(table.columns)}."
        )
    ids, features = table["id"], table.drop("id")
    if not (ids.dtype == pl.String or ids.dtype.is_integer()) or ids.null_count():
        raise DataError(
            f"{path}: column 'id' holds {ids.dtype} with {ids.null_count()} nulls. Item ids must "
            f"be text or integers, one in each row."
        )
    lists = [column for column in features.iter_columns() if column.dtype.is_nested()]
    if len(lists) == 1 and features.width == 1:
        return _stack(path, lists[0]), ids.cast(pl.String)
    for column in features.iter_columns():
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise DataError(
                f"{path}: column {column.name!r} holds {column.dtype}, not numbers. Keep 'id' and "
                f"numeric columns, or 'id' and one column of lists."
            )
    if 0 in features.shape:
        raise DataError(f"{path} has {len(ids)} rows and {features.width} columns beside 'id'.")
    return _as_float32(features.cast(pl.Float64).to_numpy()), ids.cast(pl.String)


def _stack(path: Path, lists: pl.Series) -> Matrix:
    """Turn lists of equal length into ``[rows, F]``; a null list becomes a row of NaN."""
    try:
        lists = lists.cast(pl.List(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error) from error
    lengths = lists.list.len().drop_nulls().unique().sort().to_list()
    if len(lengths) != 1 or lengths[0] == 0:
        raise DataError(
            f"{path}: the lists of column {lists.name!r} have the lengths {lengths[:5]}; all must "
            f"have one length above 0. Pool them first, or set items without content to null."
        )
    values = np.full((len(lists), lengths[0]), np.nan, dtype=np.float32)
    numbers = lists.drop_nulls().explode().to_numpy().reshape(-1, lengths[0])
    values[lists.is_not_null().to_numpy()] = _as_float32(numbers)
    return values


def _read_ids(path: Path) -> pl.Series:
    """Read one item id per line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    ids = pl.Series("id", lines, dtype=pl.String)
    bad = (ids.str.strip_chars() == "") | ids.str.contains("\t", literal=True)
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise DataError(f"{path}: line {row + 1} is {ids[row]!r}, not one item id.")
    return ids


def _read_mask(path: Path, num_rows: int) -> Mask:
    """Read one bool per row."""
    try:
        mask = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file makes decoders raise anything
        raise _unreadable(path, error) from error
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_rows,):
        raise DataError(
            f"mask {path} must be a .npy file with {num_rows} bool, one per row of the features; "
            f"found {getattr(mask, 'dtype', type(mask))} of shape {getattr(mask, 'shape', None)}."
        )
    return mask


def _as_float32(values: npt.NDArray[np.generic]) -> Matrix:
    """Convert to float32; what is too large becomes infinite, which the NaN rule then finds."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DataError(f"Cannot read {path}: {reason}.")
