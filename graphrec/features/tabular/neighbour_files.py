"""Read lists of the nearest items from files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.names import nearest
from graphrec.data.ids import id_text, require_matching_ids
from graphrec.data.neighbours import Neighbours
from graphrec.graphs.neighbour_cache import logger

Rows = npt.NDArray[np.int64]


def read_neighbours(
    path: Path,
    modality: str,
    item_ids: pl.Series,
    *,
    ids: Path | None = None,
    k: int | None = None,
) -> Neighbours:
    """Read ``<modality>_nbr`` and ``<modality>_cos`` of an .npz file for the items of a data set.

    A row may name itself, which is dropped, and may be filled up with -1. Neighbours that are not
    in the data set are dropped as well, and the row is filled up with -1. Lists are sorted by
    descending cosine and ascending id. Items without a row get no neighbours.

    Shapes:
        file: ``[n, K]`` integers and ``[n, K]`` floats; result: ``[I, k]``.

    Args:
        path: the file.
        modality: start of the names of the two arrays.
        item_ids: external ids as text, in id order.
        ids: tab-separated file with a header and the columns external id and row number. By
            default row r belongs to the item with the id r.
        k: number of best neighbours to keep of each item; by default all K.

    Raises:
        DataError: a file cannot be read, an array is missing or of the wrong shape, a neighbour
            is not a row or occurs twice, a cosine is out of range, or rows and items do not match.
    """
    rows, cosines = _read_lists(path, modality)
    if k is not None and not 1 <= k <= rows.shape[1]:
        raise DataError(
            f"{path}: {modality}_nbr holds {rows.shape[1]} neighbours of each item, not k = {k}. "
            f"Set k to 1..{rows.shape[1]}."
        )
    item_of_row = _items_of_rows(path, len(rows), item_ids, ids)

    known = (rows >= 0) & (rows != np.arange(len(rows))[:, None])
    neighbours = np.where(known, item_of_row[rows], -1)
    known = neighbours >= 0
    cosines = np.where(known, cosines, -np.inf)
    order = np.lexsort((neighbours, -cosines))[:, :k]  # within each row, unknown ones last
    kept = item_of_row >= 0
    shape = (len(item_ids), order.shape[1])
    result = Neighbours(np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32))
    kept_cosines = np.take_along_axis(np.where(known, cosines, 0), order, axis=1).clip(-1, 1)
    result.items[item_of_row[kept]] = np.take_along_axis(neighbours, order, axis=1)[kept]
    result.cosines[item_of_row[kept]] = kept_cosines[kept]
    return result


def _read_lists(path: Path, modality: str) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Read and check the two arrays."""
    names = (f"{modality}_nbr", f"{modality}_cos")
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise DataError(
                f"{path} is a single array. Give an .npz file with {' and '.join(names)}."
            )
        with arrays:
            for name in names:
                if name not in arrays.files:
                    raise DataError(
                        f"{path} has no array {name!r}.{nearest(name, arrays.files)} "
                        f"Arrays: {', '.join(arrays.files)}."
                    )
            rows, cosines = (np.asanyarray(arrays[name]) for name in names)
    except DataError:
        raise
    except Exception as error:  # decoders raise all kinds of errors on damaged files
        raise _unreadable(path, error) from error
    if rows.dtype.kind not in "iu" or cosines.dtype.kind != "f" or rows.ndim != 2 or not rows.size:
        raise DataError(
            f"{path}: {names[0]} must be integers [n, k] and {names[1]} floats, not "
            f"{rows.dtype} of shape {rows.shape} and {cosines.dtype}."
        )
    if rows.shape != cosines.shape:
        raise DataError(
            f"{path}: {names[0]} has the shape {rows.shape}, {names[1]} {cosines.shape}. Both "
            f"need one number for each neighbour."
        )
    _refuse(
        (rows < -1) | (rows >= len(rows)),
        *(path, rows, f"{names[0]} must be a row, 0..{len(rows) - 1}, or -1 for none"),
    )
    ordered = np.sort(rows, axis=1)
    repeated = np.zeros(rows.shape, dtype=np.bool_)
    repeated[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    _refuse(repeated, path, ordered, f"{names[0]} names a neighbour twice; keep it once")
    # A cosine summed in single precision may exceed 1 by a little.
    _refuse(
        ~(np.abs(cosines) < 1.001) & (rows >= 0),
        *(path, cosines, f"{names[1]} must be a cosine, between -1 and 1"),
    )
    return rows.astype(np.int64), cosines.astype(np.float64)


def _refuse(
    bad: npt.NDArray[np.bool_], path: Path, values: npt.NDArray[np.generic], problem: str
) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: row {row} holds {values[row, column]}: {problem} ({int(bad.sum())} such)."
        )


def _items_of_rows(path: Path, num_rows: int, item_ids: pl.Series, ids: Path | None) -> Rows:
    """Return the item of each row ``[n]``, -1 for a row that belongs to no item."""
    if ids is None:
        external = pl.int_range(num_rows, eager=True).cast(pl.String)
    else:
        external = id_text(_read_ids(ids, path, num_rows), ids)
        require_matching_ids(item_ids, external.drop_nulls(), ids, "ids")
    items = pl.DataFrame({"id": item_ids, "item": np.arange(len(item_ids))})
    item_of_row = pl.DataFrame({"id": external}).join(
        items, on="id", how="left", maintain_order="left"
    )["item"]
    unmatched = items.filter(~items["id"].is_in(external.implode()))
    if ids is None and len(unmatched):
        raise DataError(
            f"{path} has {num_rows} rows, but {len(unmatched)} of the {len(items)} items have "
            f"none, the first is {unmatched['id'][0]!r}. Without ids, row r belongs to the item "
            f"with the id r; give ids."
        )
    logger.info(
        "%s: %d rows belong to no item and %d items have no row",
        *(path, item_of_row.null_count(), len(unmatched)),
    )
    result: Rows = item_of_row.fill_null(-1).to_numpy()
    return result


def _read_ids(ids: Path, path: Path, num_rows: int) -> pl.Series:
    """Read the external id of each row; the file may list the rows in any order."""
    try:
        table = pl.read_csv(ids, separator="\t", infer_schema=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(ids, error) from error
    if table.width != 2:
        raise DataError(
            f"{ids} has the columns {', '.join(table.columns)}. Give two, separated by a tab: "
            f"external id and row number, below a header."
        )
    external, numbers = table.to_series(0), table.to_series(1).cast(pl.Int64, strict=False)
    expected = pl.int_range(num_rows, eager=True)
    if not numbers.sort().equals(expected, check_names=False, null_equal=False):
        raise DataError(
            f"{ids} has {len(table)} rows, whose second column is not each of the row numbers "
            f"0..{num_rows - 1} of {path} once. Give one line per row."
        )
    external = external.gather(numbers.arg_sort())
    if external.null_count() or external.is_duplicated().any():
        again = external.filter(external.is_duplicated() | external.is_null())
        raise DataError(
            f"{ids}: the item id {again[0]!r} is empty or stands twice ({len(again)} such rows). "
            f"Each row needs an id of its own."
        )
    return external


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DataError(f"Cannot read {path}: {reason}.")
