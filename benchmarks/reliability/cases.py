"""A case of the fuzzer, and the bytes of valid files."""

import gzip
import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from graphrec.core.config import Json


class Case(NamedTuple):
    """Files by name, and settings."""

    files: dict[str, bytes]
    settings: dict[str, Json]


class Target(NamedTuple):
    """Valid cases, and what reads a case whose files lie in a folder."""

    seeds: Callable[[], list[Case]]
    read: Callable[[Path, dict[str, Json]], object]
    settings: float = 0.0
    """Share of the cases whose settings are damaged instead of a file."""


def written(table: pl.DataFrame, kind: str) -> bytes:
    """Return a table as the bytes of a file."""
    buffer = io.BytesIO()
    match kind:
        case "parquet":
            table.write_parquet(buffer)
        case "jsonl":
            table.write_ndjson(buffer)
        case _:
            table.write_csv(buffer, separator="," if kind == "csv" else "\t")
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    """Return ``content`` as a gzip file."""
    return gzip.compress(content, 1, mtime=0)


def numpy_file(array: np.ndarray) -> bytes:
    """Return the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def numpy_archive(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def chosen_file(case: Case, rng: random.Random) -> str:
    """Choose the file that is damaged, the first one mostly."""
    names = list(case.files)
    return names[0] if rng.random() < 0.6 else rng.choice(names)
