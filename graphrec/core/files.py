"""Read and write files; a write happens wholly or not at all."""

import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from graphrec.core.config import Json
from graphrec.core.errors import DataError

logger = logging.getLogger(__name__)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary file and rename it to ``path``.

    Raises:
        DataError: the disk is full or read-only; no half-written file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose a "
            f"writable folder with --out; nothing half-written was left."
        ) from error


@contextmanager
def unwritable_is_a_warning() -> Iterator[None]:
    """Log a warning where a file cannot be written that only spares later work, and go on."""
    try:
        yield
    except DataError as error:
        logger.warning("%s What it would have kept is computed anew next time.", error)


def write_json(path: Path, content: Json) -> None:
    """Write ``content`` as indented JSON."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_parquet(path: Path, needed: Sequence[str], remedy: str) -> pl.DataFrame:
    """Read a table that graphrec has written and that must have the ``needed`` columns.

    Raises:
        DataError: the file is missing or damaged, or lacks a column.
    """
    try:
        with path.open("rb") as file:  # given a path, polars would take it for a pattern
            table = pl.read_parquet(file)
            table.select(needed)
            return table
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {remedy}") from error
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        raise DataError(f"{path} is damaged: {reason}. {remedy}") from error


def write_parquet(path: Path, table: pl.DataFrame, notes: Mapping[str, str] | None = None) -> None:
    """Write a table, with ``notes`` in the metadata of the file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, metadata=dict(notes or {}))
    write_bytes(path, buffer.getvalue())
