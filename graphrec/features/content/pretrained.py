"""What all pretrained encoders share: settings, the way through the store, and the report."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from graphrec.core.cache import cache_folder
from graphrec.core.config import Json
from graphrec.core.digest import digest
from graphrec.core.errors import DataError
from graphrec.core.files import unwritable_is_a_warning, write_parquet
from graphrec.core.progress import step
from graphrec.data import Modality
from graphrec.features.config import FeatureConfig
from graphrec.features.content.assemble import Finish, Positions, assemble
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.networks import Network
from graphrec.features.content.rows import FineTuning, TrainableRows
from graphrec.features.content.sources import Content
from graphrec.features.content.store import Matrix, RowStore, Store

logger = logging.getLogger(__name__)

LISTED = 10
"""Ids named in an error or a log line; the report has all of them."""


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
    """A modality with the report of how it came about.

    Attributes:
        trainable: makes the rows of an encoder that is trained with the recommender.
    """

    report: Report
    trainable: Callable[[], nn.Module] | None = None

    def rows(self) -> nn.Module:
        """A new module that gives the rows ``[I, F]`` inside a model."""
        return super().rows() if self.trainable is None else self.trainable()


class Batch(NamedTuple):
    """Some encoded contents: their places among those asked for, their rows, and the failures."""

    positions: Positions
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
    def licence(self) -> str:
        """Under which licence the weights are, as far as their source says."""

    @abstractmethod
    def network(self) -> Network:
        """Load what turns contents into rows, on the CPU.

        Raises:
            ConfigError, DataError: the weights are not what the config says.
        """

    @abstractmethod
    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode the contents ``sources`` (with their sha256), in any order, each once."""

    def pooled(self, rows: Matrix) -> Matrix:
        """Turn stored rows ``[n, ...]`` into rows ``[n, F]``, each by itself."""
        return rows

    def after_store(self) -> dict[str, str]:
        """What is done to rows after the store, for the record beside them."""
        return {"pca": str(self._shared.pca), "normalize": self._shared.normalize}

    def row_store(self) -> RowStore:
        """Open the stored rows."""
        config = self._shared
        return Store(config.store or cache_folder("features")).open(
            self.kind, self.identity(), config.storage, self.licence(), strict=config.strict
        )

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> EncodedModality:
        """Encode all items; values ``[I, F]``.

        Raises:
            DataError: content or weights are absent, or with ``strict`` any item is without a row.
        """
        content = self.content(items, item_ids)
        table = content.table
        self._require_whole(table)
        row_store = self.row_store()
        wanted = table.drop_nulls("key").unique("key", maintain_order=True)
        todo = wanted.filter(pl.Series(row_store.new(wanted["key"]), dtype=pl.Boolean))
        failed = self._fill(row_store, todo)
        table = table.join(failed, on="key", how="left", maintain_order="left").with_columns(
            reason=pl.coalesce("reason", "failure")
        )

        config = self._shared
        whose = table.with_row_index("item_row").filter(table["reason"].is_null())
        after = self.after_store()
        named = ("\n".join(map(str, table[name])) for name in ("item", "key", "reason"))
        key = digest(*named, json.dumps(after))[:12]
        finish = Finish(
            pca=config.pca,
            unit=config.normalize == "l2",
            largest=config.memory_mb * 2**20,
            folder=row_store.folder,
            name=f"items-{key}",
        )

        def blocks() -> Iterator[tuple[Positions, Matrix]]:
            rows_of = whose["item_row"].to_numpy().astype(np.int64)
            for places, rows in row_store.blocks(whose["key"]):
                yield rows_of[places], self.pooled(rows)

        values, present, counts = assemble(blocks, len(item_ids), finish)
        not_finite = ~pl.Series(present, dtype=pl.Boolean) & table["reason"].is_null()
        table = table.with_columns(
            reason=pl.when(not_finite)
            .then(pl.lit("the encoder gave NaN or infinity"))
            .otherwise("reason")
        )
        self._require_whole(table)
        report = Report(
            encoded=len(todo) - len(failed),
            reused=len(wanted) - len(todo),
            missing=dict(table.drop_nulls("reason").select("item", "reason").iter_rows()),
            **vars(counts),
            unused=content.unused,
            folder=str(row_store.folder),
        )
        self._tell(report)
        if row_store.folder.is_dir():
            listed = table.select("item", "key", "reason")
            with unwritable_is_a_warning():
                write_parquet(row_store.folder / f"{finish.name}.parquet", listed, after)
        trainable = None
        if config.fine_tune != "none":
            trainable = partial(self._trainable, torch.from_numpy(values), table)
        return EncodedModality(values, present, report, trainable)

    def _trainable(self, values: Tensor, table: pl.DataFrame) -> nn.Module:
        config = self._shared
        contents = [
            None if reason is not None else (source, key)
            for source, key, reason in table.select("source", "key", "reason").iter_rows()
        ]
        settings = FineTuning(
            layers=config.fine_tune,
            max_items=config.fine_tune_items,
            batch_size=config.batch_size,
            lr_scale=config.fine_tune_lr_scale,
            checkpointing=config.gradient_checkpointing,
            unit=config.normalize == "l2",
        )
        return TrainableRows(values, contents, self.network(), settings)

    def _fill(self, row_store: RowStore, todo: pl.DataFrame) -> pl.DataFrame:
        """Encode and store what is new; return ``key`` and ``failure`` of what cannot be read."""
        failures: dict[str, str] = {}
        if len(todo):
            row_store.require_writable()
            with row_store.writing(), step(f"Encoding {self.kind}", len(todo)) as bar:
                for batch in self.embed(todo["source"], todo["key"]):
                    if len(batch.positions):
                        row_store.add(todo["key"][batch.positions], batch.rows)
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
