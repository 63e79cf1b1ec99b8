"""Encode text by a pretrained language model."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from graphrec.core.config import Json
from graphrec.core.device import device_of
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.networks import Network
from graphrec.features.content.pretrained import Batch, ContentEncoder
from graphrec.features.content.sources import Content, text_content, text_file_content
from graphrec.features.content.store import Matrix
from graphrec.features.content.weights import folder_licence, hub_identity, model_folder, versions
from graphrec.features.text.config import TextConfig
from graphrec.features.text.networks import NO_WORD, Reader

WINDOW_BATCHES = 16
"""Batches tokenised together and sorted by length: enough to waste almost no padding."""


class TextEncoder(ContentEncoder):
    """Pretrained encoder of text: token vectors of a layer, pooled, averaged over chunks.

    ``x = sum_c n_c pool(c) / sum_c n_c`` over the chunks c with n_c tokens (special tokens of the
    tokenizer not counted). Models with a text tower (CLIP-like) give their joint embedding instead.
    """

    Config: ClassVar[type[PretrainedConfig]] = TextConfig
    kind: ClassVar[str] = "text"

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self.config = config

    @cached_property
    def folder(self) -> Path:
        """Return the folder of the weights."""
        return model_folder(self.config.encoder, self.config.revision, self.config.allow_download)

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Read the text columns or files.

        Raises:
            DataError: a column or the folder is absent.
        """
        if self.config.text_files is not None:
            return text_file_content(items, item_ids, self.config.text_files)
        assert self.config.text is not None
        return text_content(items, item_ids, self.config.text)

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights and every setting that changes a row."""
        config = self.config
        return {
            **hub_identity(
                config.encoder, config.revision, self.folder, config.layer, config.pooling
            ),
            "max_length": config.max_length,
            "preprocessing": "chunks averaged by token count",
            "versions": versions("torch", "transformers", "tokenizers"),
        }

    def licence(self) -> str:
        """Return the licence on the model card."""
        return folder_licence(self.folder)

    def network(self) -> Network:
        """Return the loaded tokenizer and language model.

        Raises:
            ConfigError: transformers is missing, or the model has no such layer or length.
            DataError: the folder holds no language model.
        """
        reader = Reader(self.config, self.folder)
        return Network(reader.prepare, reader.collate, reader.vectors)

    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode texts, longest first.

        Raises:
            ConfigError, DataError: as in ``network``.
        """
        reader, size = Reader(self.config, self.folder), self.config.batch_size
        device = device_of(self.config.device, "device")
        reader.vectors.to(device)
        order = np.argsort(-sources.str.len_chars().to_numpy().astype(np.int64), kind="stable")
        for start in range(0, len(order), WINDOW_BATCHES * size):
            positions = order[start : start + WINDOW_BATCHES * size]
            rows, read = _read(reader, sources[positions].to_list(), size, device)
            empty = dict.fromkeys(positions[~read].tolist(), NO_WORD)
            yield Batch(positions[read], rows[read], empty)


@torch.inference_mode()
def _read(
    reader: Reader, texts: list[str], batch_size: int, device: torch.device
) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Return rows ``[n, F]`` and whether a text has any token ``[n]``."""
    tokens, counts, owner = reader.chunks(texts)
    order = np.flatnonzero(counts)
    order = order[np.argsort(-counts[order], kind="stable")]
    total = np.bincount(owner, counts, len(texts))
    sums = torch.zeros(len(texts), 0, dtype=torch.float64)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        ids, mask = reader.padded([tokens[chunk] for chunk in batch])
        vectors = reader.vectors(ids.to(device), mask.to(device)).cpu().double()
        if not sums.shape[1]:
            sums = torch.zeros(len(texts), vectors.shape[1], dtype=torch.float64)
        share = torch.from_numpy(counts[batch] / total[owner[batch]])
        sums.index_add_(0, torch.from_numpy(owner[batch]), vectors * share[:, None])
    return sums.float().numpy(), total > 0
