"""Text through a pretrained language model."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import polars as pl
import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor

from graphrec.config import Json
from graphrec.errors import ConfigError, DataError
from graphrec.features.content import Content, text_content
from graphrec.features.pretrained import Batch, ContentEncoder, PretrainedConfig, device_of
from graphrec.features.tfidf import Columns
from graphrec.features.torchvision_shim import import_torchvision
from graphrec.features.weights import (
    folder_sha256,
    missing_extra,
    model_folder,
    quiet_transformers,
    versions,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WINDOW_BATCHES = 16
"""Batches tokenised together and sorted by length: enough to waste almost no padding."""


class TextConfig(PretrainedConfig):
    """Text columns and how a language model reads them."""

    text: Columns
    """Column or columns of the item table with text (or lists of words), joined in this order."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """Mean of the token vectors, the first one (BERT-like), or the last one (GPT-like)."""
    layer: int = -1
    """Hidden layer to take the vectors from, 0 (the embeddings) to L; -1 is the last."""
    max_length: PositiveInt | None = None
    """Tokens per chunk; by default as many as the model can read."""

    @model_validator(mode="after")
    def _prefix_of_text(self) -> Self:
        if self.encoder.startswith("torchvision:"):
            raise ValueError("torchvision has no text encoders; use hf:, local: or package:")
        if self.revision is not None and not self.encoder.startswith("hf:"):
            raise ValueError("revision is for hf: encoders")
        return self


class TextEncoder(ContentEncoder):
    """Token vectors of a hidden layer, pooled; a long text is the mean of its chunks.

    ``x = sum_c n_c pool(c) / sum_c n_c`` over the chunks c with n_c tokens (the tokenizer's own
    marks not counted). Models with a text tower (CLIP-like) give their joint embedding instead.
    """

    Config: ClassVar[type[PretrainedConfig]] = TextConfig
    kind: ClassVar[str] = "text"

    def __init__(self, config: TextConfig) -> None:
        super().__init__(config)
        self.config = config

    @cached_property
    def folder(self) -> Path:
        """Where the weights lie."""
        return model_folder(self.config.encoder, self.config.revision)

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Read the text columns.

        Raises:
            DataError: a column is absent.
        """
        return text_content(items, item_ids, self.config.text)

    def identity(self) -> dict[str, Json]:
        """Weights by their sha256, and every setting that changes a row."""
        config = self.config
        return {
            "encoder": config.encoder,
            "revision": config.revision,
            "weights_sha256": folder_sha256(self.folder),
            "layer": config.layer,
            "pooling": config.pooling,
            "max_length": config.max_length,
            "preprocessing": "chunks averaged by token count",
            "versions": versions("torch", "transformers", "tokenizers"),
        }

    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode texts, longest first.

        Raises:
            ConfigError: transformers is missing, or the model has no such layer or length.
            DataError: the folder holds no language model.
        """
        reader = _Reader(self.config, self.folder)
        order = np.argsort(-sources.str.len_chars().to_numpy().astype(np.int64), kind="stable")
        window = WINDOW_BATCHES * self.config.batch_size
        for start in range(0, len(order), window):
            positions = order[start : start + window]
            rows, read = reader.read(sources[positions].to_list())
            empty = dict.fromkeys(positions[~read].tolist(), "no word that the tokenizer knows")
            yield Batch(positions[read], rows[read], empty)


class _Reader:
    """A loaded model with its tokenizer."""

    def __init__(self, config: TextConfig, folder: Path) -> None:
        self.config = config
        self.device = device_of(config.device)
        self.tokenizer, self.model = _load(config.encoder, folder)
        self.model.to(self.device).eval()
        self.is_joint = hasattr(self.model, "get_text_features")
        if self.is_joint and (config.pooling, config.layer) != ("mean", -1):
            raise ConfigError(
                f"{config.encoder} gives one joint embedding per text: remove pooling and layer."
            )
        self.marks = self.tokenizer.num_special_tokens_to_add()
        self.length = self._chunk_length()

    def _chunk_length(self) -> int:
        """Tokens that the model can read at once, or fewer where the config says so."""
        text_config = getattr(self.model.config, "text_config", self.model.config)
        limits = [self.tokenizer.model_max_length]
        limits.append(getattr(text_config, "max_position_embeddings", None) or limits[0])
        limit = int(min(limits))
        asked = self.config.max_length
        if asked is None:
            return limit
        if not self.marks < asked <= limit:
            raise ConfigError(
                f"max_length = {asked}, but {self.config.encoder} reads {self.marks + 1} to "
                f"{limit} tokens at once."
            )
        return asked

    def read(
        self, texts: list[str]
    ) -> tuple[
        np.ndarray[tuple[int, int], np.dtype[np.float32]],
        np.ndarray[tuple[int], np.dtype[np.bool_]],
    ]:
        """Return rows ``[n, F]`` and whether a text has any token ``[n]``."""
        chunks = self.tokenizer(
            texts, truncation=True, max_length=self.length, return_overflowing_tokens=True
        )
        tokens: list[list[int]] = chunks["input_ids"]
        owner = np.array(chunks["overflow_to_sample_mapping"])
        counts = np.array([len(chunk) for chunk in tokens])
        weights = np.maximum(counts - self.marks, 0)
        order = np.flatnonzero(weights)
        order = order[np.argsort(-counts[order], kind="stable")]
        total = np.bincount(owner, weights, len(texts))
        sums: Tensor | None = None
        for start in range(0, len(order), self.config.batch_size):
            batch = order[start : start + self.config.batch_size]
            rows = self._vectors([tokens[chunk] for chunk in batch]).cpu().double()
            if sums is None:
                sums = torch.zeros(len(texts), rows.shape[1], dtype=torch.float64)
            share = torch.from_numpy(weights[batch] / total[owner[batch]])
            sums.index_add_(0, torch.from_numpy(owner[batch]), rows * share[:, None])
        if sums is None:
            sums = torch.zeros(len(texts), 0)
        return sums.float().numpy(), total > 0

    @torch.no_grad()
    def _vectors(self, tokens: list[list[int]]) -> Tensor:
        """Pool the token vectors of some chunks of similar length, ``[b, F]``."""
        inputs = self.tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self.device)
        if self.is_joint:
            found = self.model.get_text_features(**inputs)
            return found if isinstance(found, Tensor) else found.pooler_output
        config = self.config
        output = self.model(**inputs, output_hidden_states=config.layer != -1)
        hidden = output.last_hidden_state
        if config.layer != -1:
            layers = output.hidden_states
            if not -len(layers) <= config.layer < len(layers):
                raise ConfigError(
                    f"layer = {config.layer}, but {config.encoder} has the layers 0 to "
                    f"{len(layers) - 1} (or -1 to {-len(layers)}, from the last)."
                )
            hidden = layers[config.layer]
        mask = inputs["attention_mask"]
        if config.pooling == "cls":
            return hidden[:, 0]
        if config.pooling == "last":
            return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
        return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _load(encoder: str, folder: Path) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
    with suppress(ImportError):  # not needed for text, but transformers imports it if it is there
        import_torchvision()
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise missing_extra(error, encoder) from error
    try:
        # Marks go before and padding behind the text, so that the first and last are where
        # pooling looks for them.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="right", truncation_side="right"
        )
        with quiet_transformers():
            model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"encoder = {encoder!r}: {folder} holds no language model with its tokenizer: {error}"
        ) from error
    if not tokenizer.is_fast:
        raise ConfigError(
            f"encoder = {encoder!r}: its tokenizer cannot cut long texts. Put a tokenizer.json "
            f"into {folder}."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it stands
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return tokenizer, model
