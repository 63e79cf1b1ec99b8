"""Store encoded rows under the sha256 of their content: never stale, never encoded twice.

    <root>/<kind>/<16 hex digits of the identity>/manifest.json
                                                 /<uuid>.safetensors, one or more

A shard holds rows and, in its header, the content hash of each row. It is written wholly or not
at all and never changed, so two processes need no lock: at worst a row is stored twice. In memory
are the hashes of the stored rows, up to ``SHARD_ROWS`` rows not yet written, and one shard while it
is read; never the whole store.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from graphrec.core.config import Json
from graphrec.core.digest import digest
from graphrec.core.errors import DataError
from graphrec.core.files import write_bytes, write_json

logger = logging.getLogger(__name__)

SHARD_ROWS = 1024
"""Number of rows of a full shard."""

SHARD_SECONDS = 30.0
"""Seconds after which a shard is written even if it is not full: the loss at an interruption."""

Matrix = npt.NDArray[np.float32]


class Store:
    """A folder of encoded rows."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(
        self,
        kind: str,
        identity: Mapping[str, Json],
        dtype: str = "float32",
        licence: str = "",
        *,
        strict: bool,
    ) -> "RowStore":
        """Return the rows of one encoder; ``identity`` is all that its rows depend on.

        Raises:
            DataError: with ``strict``, a shard is damaged.
        """
        whole: dict[str, Json] = {"kind": kind, **identity, "dtype": dtype}
        name = digest(json.dumps(whole, sort_keys=True))[:16]
        notes: dict[str, Json] = {**whole, "licence": licence}
        return RowStore(self.root / kind / name, notes, dtype, strict=strict)


class RowStore:
    """The rows of one encoder."""

    def __init__(self, folder: Path, notes: dict[str, Json], dtype: str, *, strict: bool) -> None:
        self.folder = folder
        self._notes = notes
        self._dtype = np.dtype(dtype)
        self._shards: list[Path] = []
        self._index = pl.DataFrame(schema={"key": pl.String, "shard": pl.Int64, "row": pl.Int64})
        self._waiting: list[tuple[pl.Series, npt.NDArray[np.floating]]] = []
        self._flushed = time.monotonic()
        for path in sorted(folder.glob("*.safetensors")):
            keys = self._verified_keys(path, strict)
            if keys is not None:
                self._remember(path, keys)

    def new(self, keys: pl.Series) -> npt.NDArray[np.bool_]:
        """Return which content hashes have no row yet, ``[n]``."""
        known: npt.NDArray[np.bool_] = keys.is_in(self._index["key"].implode()).to_numpy()
        return ~known

    def require_writable(self) -> None:
        """Write and delete a file in the folder, to prove that it is writable.

        Raises:
            DataError: the folder is not writable.
        """
        probe = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"0")
            probe.unlink()
        except OSError as error:
            raise DataError(
                f"Cannot write the store {self.folder}: {error.strerror or error}. Set store in "
                f"the table of the encoder to a folder that is writable; nothing was encoded."
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Accept ``add`` inside the block; added rows are on disk after it, even if it fails."""
        self._flushed = time.monotonic()
        try:
            yield
        finally:
            self._flush()

    def add(self, keys: pl.Series, rows: Matrix) -> None:
        """Add rows ``[n, F]`` under their content hashes ``[n]``.

        Raises:
            DataError: the disk is full or read-only.
        """
        with np.errstate(over="ignore"):  # beyond float16 is infinite, and is counted as such
            self._waiting.append((keys, rows.astype(self._dtype)))
        full = sum(len(part_keys) for part_keys, _ in self._waiting) >= SHARD_ROWS
        if full or time.monotonic() - self._flushed > SHARD_SECONDS:
            self._flush()

    def blocks(self, keys: pl.Series) -> Iterator[tuple[npt.NDArray[np.int64], Matrix]]:
        """Yield the rows of content hashes ``[n]``, all of which must be stored, shard by shard.

        Each block has the positions of its rows among the keys, and the rows ``[b, F]``.
        """
        places = pl.DataFrame({"key": keys}).join(
            self._index, on="key", how="left", maintain_order="left"
        )
        shard, row = places["shard"].to_numpy(), places["row"].to_numpy()
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            with safe_open(self._shards[number], framework="np") as file:  # memory-mapped
                rows = file.get_tensor("rows")
            yield here, rows[row[here]].astype(np.float32)

    def row(self, key: str) -> npt.NDArray[np.float32] | None:
        """Return the row ``[F]`` of one content hash, or None; no other row is read."""
        place = self._index.filter(pl.col("key") == key)
        if place.is_empty():
            return None
        with safe_open(self._shards[place["shard"][0]], framework="np") as file:
            at = place["row"][0]
            row: npt.NDArray[np.float32] = file.get_slice("rows")[at : at + 1][0]
        return row.astype(np.float32)

    @property
    def width(self) -> int | None:
        """Return the number of columns of the stored rows, or None without rows."""
        if not self._shards:
            return None
        with safe_open(self._shards[0], framework="np") as file:
            width: int = file.get_slice("rows").get_shape()[1]
        return width

    def _flush(self) -> None:
        """Write the waiting rows as one shard."""
        self._flushed = time.monotonic()
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        keys = pl.concat([part_keys for part_keys, _ in waiting])
        rows = np.ascontiguousarray(np.concatenate([part for _, part in waiting]))
        manifest = self.folder / "manifest.json"
        if not manifest.exists():
            write_json(manifest, {**self._notes, "width": rows.shape[1]})
        header = {"keys": " ".join(keys.to_list()), "sha256": digest(rows)}
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        write_bytes(path, save({"rows": rows}, metadata=header))
        self._remember(path, keys)

    def _remember(self, path: Path, keys: pl.Series) -> None:
        places = pl.DataFrame(
            {"key": keys, "shard": len(self._shards), "row": np.arange(len(keys))},
            schema=self._index.schema,
        )
        self._index = pl.concat([self._index, places]).unique("key", keep="first")
        self._shards.append(path)

    def _verified_keys(self, path: Path, strict: bool) -> pl.Series | None:
        """Return the content hashes of a shard, or None if the shard is damaged."""
        try:
            with safe_open(path, framework="np") as file:
                header, rows = file.metadata() or {}, file.get_tensor("rows")
            keys = header["keys"].split(" ")
            fits = rows.ndim > 1 and rows.dtype == self._dtype
            fits = fits and self.width in (None, rows.shape[1])
            intact = fits and header["sha256"] == digest(rows) and len(keys) == len(rows)
            reason = "its rows are not those that were written"
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            intact, reason = False, str(error)
        if intact:
            return pl.Series("key", keys, dtype=pl.String)
        if strict:
            raise DataError(
                f"{path} is damaged: {reason}. Delete it; its rows are then encoded again."
            )
        logger.warning("%s is damaged and ignored: %s. Delete it.", path, reason)
        return None
