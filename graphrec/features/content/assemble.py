"""Stored rows -> the matrix of a data set, one block at a time, counting what is odd on the way."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.store import Matrix

Positions = npt.NDArray[np.int64]
Block = tuple[Positions, Matrix]
"""Some rows, and to which items they belong."""

Blocks = Callable[[], Iterator[Block]]
"""Goes through all rows once."""

RowTransform = Callable[[Matrix], Matrix]


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
    transform = _identity if finish.pca is None else _projection(blocks, finish.pca)
    present = np.zeros(num_items, dtype=np.bool_)
    counts, seen = Counts(), set[bytes]()

    def sound(stored: Iterable[Block]) -> Iterator[Block]:
        """Count and leave out what is not finite; finish the rest."""
        for positions, rows in stored:
            finite = np.isfinite(rows).all(axis=1)
            kept = rows[finite]
            counts.nan += len(rows) - len(kept)
            counts.zero += int((~kept.any(axis=1)).sum())
            for row in kept:
                mark = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
                counts.duplicates += mark in seen
                seen.add(mark)
            present[positions[finite]] = True
            yield positions[finite], _finished(kept, transform, finish.unit)

    stored = blocks()
    first = next(stored, None)
    width = 0 if first is None else transform(first[1][:1]).shape[1]
    rest = sound(stored if first is None else chain((first,), stored))
    return _matrix((num_items, width), finish, rest), present, counts


def _reserve(file: BinaryIO, num_bytes: int) -> None:
    """Take the room of a whole file at once; where the system cannot, by writing zeros."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, num_bytes)
        return
    zeros = bytes(2**20)  # macOS and Windows
    for start in range(0, num_bytes, len(zeros)):
        file.write(zeros[: num_bytes - start])


def _matrix(shape: tuple[int, int], finish: Finish, blocks: Iterator[Block]) -> Matrix:
    """Fill a matrix in memory, or in a file where it is too large."""
    if shape[0] * shape[1] * 4 <= finish.largest:
        values = np.zeros(shape, dtype=np.float32)
        for positions, rows in blocks:
            values[positions] = rows
        return values
    path = finish.folder / f"{finish.name}.npy"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        finish.folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:  # a full disk must be an error here, not a crash later
            _reserve(file, shape[0] * shape[1] * 4 + HEADER_BYTES)
        np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        for positions, rows in blocks:
            # Mapped anew for each block, so that what was written does not stay in memory.
            np.load(part, mmap_mode="r+")[positions] = rows
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. Free some space, or choose another "
            f"store."
        ) from error
    result: Matrix = np.load(path, mmap_mode="c")
    return result


def _finished(rows: Matrix, transform: RowTransform, unit: bool) -> Matrix:
    turned = transform(rows)
    if not unit:
        return turned
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    return np.divide(turned, lengths, out=turned.copy(), where=lengths > 0)


def _identity(rows: Matrix) -> Matrix:
    return rows


def _projection(blocks: Blocks, dim: int) -> RowTransform:
    """Return ``x -> (x - mean) V`` with the ``dim`` strongest eigenvectors V of the covariance.

    The sign of each is such that its largest weight is positive. Rows that are not finite are left
    out; without any other row nothing is turned.
    """

    def finite() -> Iterator[Matrix]:
        return (rows[np.isfinite(rows).all(axis=1)] for _, rows in blocks())

    sums = [(len(rows), rows.sum(axis=0, dtype=np.float64)) for rows in finite()]
    count = sum(each for each, _ in sums)
    if not count:
        return _identity
    mean = np.sum([total for _, total in sums], axis=0) / count
    if dim > min(count, len(mean)):
        raise ConfigError(
            f"pca = {dim}, but there are {count} items with {len(mean)} columns. Lower it to at "
            f"most {min(count, len(mean))}."
        )
    covariance = np.zeros((len(mean), len(mean)))
    for rows in finite():
        centred = rows - mean
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
    strongest = vectors[:, ::-1][:, :dim]
    largest = np.abs(strongest).argmax(axis=0)
    strongest = strongest * np.sign(strongest[largest, np.arange(dim)])

    def transform(rows: Matrix) -> Matrix:
        result: Matrix = ((rows - mean) @ strongest).astype(np.float32)
        return result

    return transform
