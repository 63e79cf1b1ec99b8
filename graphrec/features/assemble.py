"""Stored rows -> the matrix of a data set, one block at a time, counting what is odd on the way."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphrec.errors import ConfigError, DataError
from graphrec.features.store import Matrix

Positions = npt.NDArray[np.int64]
Blocks = Callable[[], Iterator[tuple[Positions, Matrix]]]
"""Goes through the rows; each block says to which items its rows belong."""


HEADER_BYTES = 4096
"""More than the header of an .npy file takes."""


@dataclass
class Counts:
    """Rows that are not finite, of length 0, or byte for byte a row of an item before."""

    nan: int = 0
    zero: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Finish:
    """What happens to rows after the store.

    Attributes:
        pca: keep so many principal components.
        unit: then scale rows to length 1.
        largest: bytes of the largest matrix to hold in memory.
        folder: where larger ones lie, to be mapped into memory.
        name: of that file.
    """

    pca: int | None
    unit: bool
    largest: int
    folder: Path
    name: str


def assemble(
    blocks: Blocks, num_items: int, finish: Finish
) -> tuple[Matrix, npt.NDArray[np.bool_], Counts]:
    """Return values ``[I, F]``, which items have a finite row ``[I]``, and the counts.

    Raises:
        ConfigError: there are fewer rows or columns than principal components.
        DataError: the disk is full.
    """
    present = np.zeros(num_items, dtype=np.bool_)
    counts, width, seen = Counts(), 0, set[bytes]()
    for positions, rows in blocks():
        width = rows.shape[1]
        finite = np.isfinite(rows).all(axis=1)
        counts.nan += int((~finite).sum())
        counts.zero += int((~rows[finite].any(axis=1)).sum())
        present[positions[finite]] = True
        for row in rows[finite]:
            mark = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            counts.duplicates += mark in seen
            seen.add(mark)

    def sound() -> Iterator[tuple[Positions, Matrix]]:
        for positions, rows in blocks():
            kept = present[positions]
            yield positions[kept], rows[kept]

    turn: Callable[[Matrix], Matrix] = _identity
    if finish.pca is not None and present.any():
        turn = _projection(sound, int(present.sum()), width, finish.pca)
        width = finish.pca
    values = _matrix((num_items, width), finish, sound, turn)
    return values, present, counts


def _matrix(
    shape: tuple[int, int], finish: Finish, blocks: Blocks, turn: Callable[[Matrix], Matrix]
) -> Matrix:
    """Fill a matrix in memory, or in a file where it is too large."""
    if shape[0] * shape[1] * 4 <= finish.largest:
        values = np.zeros(shape, dtype=np.float32)
        for positions, rows in blocks():
            values[positions] = _finished(rows, turn, finish.unit)
        return values
    path = finish.folder / f"{finish.name}.npy"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        finish.folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:  # a full disk must be an error here, not a crash later
            os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * 4 + HEADER_BYTES)
        np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        for positions, rows in blocks():
            # Mapped anew for each block, so that what was written does not stay in memory.
            np.load(part, mmap_mode="r+")[positions] = _finished(rows, turn, finish.unit)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. Free some space, or choose another "
            f"store."
        ) from error
    result: Matrix = np.load(path, mmap_mode="c")
    return result


def _finished(rows: Matrix, turn: Callable[[Matrix], Matrix], unit: bool) -> Matrix:
    turned = turn(rows)
    if not unit:
        return turned
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    return np.divide(turned, lengths, out=turned.copy(), where=lengths > 0)


def _identity(rows: Matrix) -> Matrix:
    return rows


def _projection(blocks: Blocks, count: int, width: int, dim: int) -> Callable[[Matrix], Matrix]:
    """Return ``x -> (x - mean) V`` with the ``dim`` strongest eigenvectors V of the covariance.

    The sign of each is such that its largest weight is positive.
    """
    if dim > min(count, width):
        raise ConfigError(
            f"pca = {dim}, but there are {count} items with {width} columns. Lower it to at most "
            f"{min(count, width)}."
        )
    mean = np.zeros(width)
    for _, rows in blocks():
        mean += rows.sum(axis=0, dtype=np.float64)
    mean /= count
    covariance = np.zeros((width, width))
    for _, rows in blocks():
        centred = rows - mean
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
    strongest = vectors[:, ::-1][:, :dim]
    largest = np.abs(strongest).argmax(axis=0)
    strongest = strongest * np.sign(strongest[largest, np.arange(dim)])

    def turn(rows: Matrix) -> Matrix:
        result: Matrix = ((rows - mean) @ strongest).astype(np.float32)
        return result

    return turn
