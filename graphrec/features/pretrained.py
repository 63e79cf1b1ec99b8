"""What all pretrained encoders share: settings, the way through the store, and the report."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from pydantic import ModelWrapValidatorHandler, PositiveInt, ValidationError, model_validator

from graphrec.config import AbsolutePath, FeatureConfig, Json
from graphrec.errors import ConfigError, DataError
from graphrec.explain import explain
from graphrec.features.content import Content
from graphrec.features.features import Modality
from graphrec.features.store import Matrix, Shelf, Store
from graphrec.progress import step

logger = logging.getLogger(__name__)

STORE = Path("data/processed/features")

LISTED = 10
"""Ids named in an error or a log line; the report has all of them."""


class PretrainedConfig(FeatureConfig):
    """Settings of every pretrained encoder; the content key chooses the others."""

    encoder: str
    """hf:HUB_ID, local:FOLDER, package:INSTALLED_PACKAGE, or torchvision:MODEL for images."""
    store: AbsolutePath | None = None
    """Folder of encoded rows, shared by all runs; by default data/processed/features."""
    strict: bool = False
    """Content that is missing or cannot be read, or a damaged store, is an error."""
    batch_size: PositiveInt = 32
    """Texts, images or sounds per step of the network."""
    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda or cuda:N."""
    storage: Literal["float32", "float16"] = "float32"
    """Precision of the stored rows."""
    pca: PositiveInt | None = None
    """Keep so many principal components of the rows; nothing is stored anew for it."""
    normalise: Literal["none", "l2"] = "none"
    """Leave the rows, or scale each to length 1 (after pca)."""

    @model_validator(mode="wrap")
    @classmethod
    def _by_content(
        cls, table: object, handler: "ModelWrapValidatorHandler[PretrainedConfig]"
    ) -> "PretrainedConfig":
        """The content key decides which encoder, and so which settings, are meant."""
        from graphrec.features.encode import CONTENTS

        if cls is not PretrainedConfig or not isinstance(table, dict):
            return handler(table)
        given = [key for key in CONTENTS if table.get(key) is not None]
        if len(given) != 1:
            keys = " or ".join(CONTENTS)
            raise ValueError(f"a pretrained encoder needs exactly one of {keys}: what to encode")
        kind = CONTENTS[given[0]].Config
        try:
            chosen = kind.model_validate(table)
        except ValidationError as error:
            raise ValueError(explain(error, kind)) from error
        assert isinstance(chosen, PretrainedConfig)
        return chosen


@dataclass(frozen=True)
class Report:
    """What encoding did.

    Attributes:
        encoded, reused: different contents that were encoded now, or found in the store.
        missing: why each item without a row has none, by external id.
        nan: items whose row is not finite; they are among the missing.
        zero: items whose row has length 0; they count as present.
        duplicates: items whose row equals, byte for byte, the row of an item before.
        unused: files that belong to no item.
        folder: where the rows are stored.
    """

    encoded: int
    reused: int
    missing: dict[str, str] = field(default_factory=dict)
    nan: int = 0
    zero: int = 0
    duplicates: int = 0
    unused: int = 0
    folder: str = ""


@dataclass(frozen=True, eq=False)
class EncodedModality(Modality):
    """A modality with the report of how it came about."""

    report: Report


class Batch(NamedTuple):
    """Some encoded contents: their places among those asked for, their rows, and the failures."""

    positions: npt.NDArray[np.int64]
    rows: Matrix
    unreadable: dict[int, str]


class ContentEncoder(ABC):
    """Content -> rows, through the store. A content is encoded once, whoever has it.

    Rows depend on all that ``identity`` names. They do not name device and batch size, which
    change a row only by rounding. In memory are the hashes of all contents, one batch, one shard
    and a few copies of the result ``[I, F]``.
    """

    Config: ClassVar[type[FeatureConfig]]
    kind: ClassVar[str]

    def __init__(self, config: PretrainedConfig) -> None:
        self._shared = config

    @abstractmethod
    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Find what there is to encode."""

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """All that a row depends on, besides its content; found without loading the network."""

    @abstractmethod
    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode the contents ``sources`` (with their sha256), in any order, each once."""

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> EncodedModality:
        """Encode all items; values ``[I, F]``.

        Raises:
            DataError: content or weights are absent, or with ``strict`` any item is without a row.
        """
        config = self._shared
        content = self.content(items, item_ids)
        table = content.table
        self._require_whole(table)
        shelf = Store(config.store or STORE).open(
            self.kind, self.identity(), config.storage, strict=config.strict
        )
        wanted = table.drop_nulls("key").unique("key", maintain_order=True)
        todo = wanted.filter(pl.Series(shelf.new(wanted["key"]), dtype=pl.Boolean))
        failed = self._fill(shelf, todo)
        table = table.join(failed, on="key", how="left", maintain_order="left").with_columns(
            reason=pl.coalesce("reason", "failure")
        )

        present = table["reason"].is_null().to_numpy(writable=True)
        rows = shelf.read(table.filter(pl.Series(present))["key"])
        finite = np.isfinite(rows).all(axis=1)
        present[present] = finite
        not_finite = pl.Series(~present) & table["reason"].is_null()
        table = table.with_columns(
            reason=pl.when(not_finite)
            .then(pl.lit("the encoder gave NaN or infinity"))
            .otherwise("reason")
        )
        self._require_whole(table)
        rows = rows[finite]
        report = Report(
            encoded=len(todo) - len(failed),
            reused=len(wanted) - len(todo),
            missing=dict(table.filter(~pl.Series(present)).select("item", "reason").iter_rows()),
            nan=int((~finite).sum()),
            zero=int((~rows.any(axis=1)).sum()),
            duplicates=_duplicates(rows),
            unused=content.unused,
            folder=str(shelf.folder),
        )
        self._tell(report)
        rows = self._finished(rows)
        values = np.zeros((len(item_ids), rows.shape[1]), dtype=np.float32)
        values[present] = rows
        return EncodedModality(values, present, report)

    def _fill(self, shelf: Shelf, todo: pl.DataFrame) -> pl.DataFrame:
        """Encode and store what is new; return ``key`` and ``failure`` of what cannot be read."""
        failures: dict[str, str] = {}
        if len(todo):
            with shelf.writing(), step(f"Encoding {self.kind}", len(todo)) as bar:
                for batch in self.embed(todo["source"], todo["key"]):
                    if len(batch.positions):
                        shelf.add(todo["key"][batch.positions], batch.rows)
                    failures |= {todo["key"][at]: why for at, why in batch.unreadable.items()}
                    bar.advance(len(batch.positions) + len(batch.unreadable))
        return pl.DataFrame(
            {"key": list(failures), "failure": list(failures.values())},
            schema={"key": pl.String, "failure": pl.String},
        )

    def _require_whole(self, table: pl.DataFrame) -> None:
        """With ``strict``, raise DataError if any item has no row."""
        missing = table.drop_nulls("reason")
        if self._shared.strict and len(missing):
            pairs = missing.head(LISTED).select("item", "reason").iter_rows()
            listed = "; ".join(f"{item!r}: {reason}" for item, reason in pairs)
            raise DataError(
                f"{len(missing)} of {len(table)} items have no {self.kind} ({listed}"
                f"{'; ...' if len(missing) > LISTED else ''}). Repair them, or set strict = false "
                f"to take them as missing."
            )

    def _tell(self, report: Report) -> None:
        logger.info(
            "%s: %d encoded, %d reused from %s",
            *(self.kind, report.encoded, report.reused, report.folder),
        )
        if report.missing:
            first = list(report.missing.items())[:LISTED]
            listed = "; ".join(f"{item}: {reason}" for item, reason in first)
            logger.warning("%s: %d items are missing (%s)", self.kind, len(report.missing), listed)
        for count, what in (
            (report.zero, "items have a row of zeros"),
            (report.duplicates, "items have the same row as another one"),
        ):
            if count:
                logger.warning("%s: %d %s", self.kind, count, what)
        if report.unused:  # nothing to worry about: the data may be filtered
            logger.info("%s: %d files belong to no item", self.kind, report.unused)

    def _finished(self, rows: Matrix) -> Matrix:
        """Apply what is not stored: principal components, then length 1."""
        if self._shared.pca is not None and len(rows):
            rows = principal_components(rows, self._shared.pca)
        if self._shared.normalise == "l2":
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows


def principal_components(rows: Matrix, dim: int) -> Matrix:
    """Return ``(x - mean) V`` with the ``dim`` strongest eigenvectors V of the covariance.

    The sign of each is such that its largest weight is positive.

    Raises:
        ConfigError: there are fewer rows or columns than ``dim``.
    """
    if dim > min(rows.shape):
        raise ConfigError(
            f"pca = {dim}, but there are {rows.shape[0]} items with {rows.shape[1]} columns. "
            f"Lower it to at most {min(rows.shape)}."
        )
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    strongest = vectors[:, ::-1][:, :dim]
    largest = np.abs(strongest).argmax(axis=0)
    strongest = strongest * np.sign(strongest[largest, np.arange(dim)])
    result: Matrix = (centred @ strongest).astype(np.float32)
    return result


def device_of(name: str) -> torch.device:
    """Return the device that a setting means.

    Raises:
        ConfigError: there is no such device.
    """
    count = torch.cuda.device_count()
    try:
        device = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device = {name!r} is not a device. Use auto, cpu, cuda or cuda:0.")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"device = {name!r}, but this torch sees {count} CUDA devices. Use cpu.")
    return device


def _duplicates(rows: Matrix) -> int:
    """Count the rows that are, byte for byte, a row before them."""
    if not rows.size:
        return 0
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))
    return len(rows) - len(np.unique(whole))
