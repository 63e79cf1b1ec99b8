"""Run a language model of a Hugging Face folder: texts to chunks of tokens to pooled vectors."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.networks import UnreadableError, hidden_layer
from graphrec.features.content.weights import loading, missing_extra
from graphrec.features.image.torchvision_shim import import_torchvision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from graphrec.features.text.config import TextConfig

NO_TOKEN = -1
NO_WORD = "no word that the tokenizer knows"


class Chunks(NamedTuple):
    """The chunks of some texts.

    Shapes:
        tokens: ids of each of c chunks; counts: ``[c]``, their number without special tokens of
            the tokenizer; owner: ``[c]``, the text to which each chunk belongs.
    """

    tokens: list[list[int]]
    counts: np.ndarray[tuple[int], np.dtype[np.int64]]
    owner: np.ndarray[tuple[int], np.dtype[np.int64]]


class Reader:
    """A loaded model with its tokenizer."""

    def __init__(self, config: "TextConfig", folder: Path) -> None:
        self.tokenizer, model = _load(config.encoder, folder)
        self.vectors = TokenVectors(config, model).eval()
        self._marks = self.tokenizer.num_special_tokens_to_add()
        self._length = _chunk_length(config, self.tokenizer, model, self._marks)

    def chunks(self, texts: Sequence[str]) -> Chunks:
        """Tokenise; long texts become several chunks."""
        batch = self.tokenizer(
            list(texts), truncation=True, max_length=self._length, return_overflowing_tokens=True
        )
        tokens: list[list[int]] = batch["input_ids"]
        counts = np.fromiter(map(len, tokens), np.int64, len(tokens)) - self._marks
        return Chunks(tokens, np.maximum(counts, 0), np.array(batch["overflow_to_sample_mapping"]))

    def padded(self, tokens: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and mask, ``[c, T]``; padding comes after the tokens."""
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        ids[mask] = np.concatenate([np.asarray(chunk, dtype=np.int64) for chunk in tokens])
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))

    def prepare(self, text: str, _: str) -> Tensor:
        """Tokenise one text: ids of its chunks ``[c, T]``, -1 where there is no token.

        Raises:
            UnreadableError: the text has no token.
        """
        chunks = self.chunks([text])
        if not chunks.counts.any():
            raise UnreadableError(NO_WORD)
        ids, mask = self.padded(chunks.tokens)
        return ids.masked_fill(mask == 0, NO_TOKEN)

    def collate(self, texts: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids and mask of all chunks ``[c, T]``, and their shares of texts ``[n, c]``."""
        width = max(text.shape[1] for text in texts)
        ids = torch.cat(
            [functional.pad(text, (0, width - text.shape[1]), value=NO_TOKEN) for text in texts]
        )
        mask = ids != NO_TOKEN
        counts = (mask.sum(dim=1) - self._marks).clamp(min=0).split([len(text) for text in texts])
        shares = torch.block_diag(*(count / count.sum() for count in counts))
        return ids.masked_fill(~mask, self.tokenizer.pad_token_id), mask.long(), shares


class TokenVectors(nn.Module):
    """Module that pools the token vectors of a layer, or returns the embedding of a text tower."""

    def __init__(self, config: "TextConfig", model: "PreTrainedModel") -> None:
        super().__init__()
        self.config, self.model = config, model
        self.is_joint = hasattr(model, "get_text_features")
        if self.is_joint and (config.pooling, config.layer) != ("mean", -1):
            raise ConfigError(
                f"{config.encoder} gives one joint embedding per text: remove pooling and layer."
            )

    def forward(self, ids: Tensor, mask: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return vectors of chunks ``[c, F]``, or with ``shares [n, c]`` of texts ``[n, F]``."""
        vectors = self._vectors(ids, mask)
        return vectors if shares is None else shares.to(vectors.dtype) @ vectors

    def _vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.is_joint:
            joint = self.model.get_text_features(input_ids=ids, attention_mask=mask)
            return joint if isinstance(joint, Tensor) else joint.pooler_output
        layer = self.config.layer
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=layer != -1)
        hidden = hidden_layer(output, None if layer == -1 else layer, self.config.encoder)
        if self.config.pooling == "cls":
            return hidden[:, 0]
        if self.config.pooling == "last":
            return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
        return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _chunk_length(
    config: "TextConfig",
    tokenizer: "PreTrainedTokenizerBase",
    model: "PreTrainedModel",
    marks: int,
) -> int:
    """Return the number of tokens that the model reads at once, or fewer by the config."""
    text_config = getattr(model.config, "text_config", model.config)
    limits = [tokenizer.model_max_length]
    limits.append(getattr(text_config, "max_position_embeddings", None) or limits[0])
    limit = int(min(limits))
    asked = config.max_length
    if asked is None:
        return limit
    if not marks < asked <= limit:
        raise ConfigError(
            f"max_length = {asked}, but {config.encoder} reads {marks + 1} to {limit} tokens at "
            f"once."
        )
    return asked


def _load(encoder: str, folder: Path) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
    with suppress(ImportError):  # not needed for text, but transformers imports it if it exists
        import_torchvision()
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise missing_extra(error, encoder) from error
    try:
        # Special tokens go before and padding after the text, so that the first and last tokens are
        # where pooling expects them.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="right", truncation_side="right"
        )
        with loading():
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
        tokenizer.pad_token = tokenizer.eos_token  # the mask covers it wherever it pads
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return tokenizer, model
