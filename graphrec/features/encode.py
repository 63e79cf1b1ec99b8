"""The table of encoders, and the one verb that runs them."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import polars as pl

from graphrec.config import FeatureConfig
from graphrec.datasets.dataset import Dataset
from graphrec.errors import ConfigError, DataError, GraphRecError
from graphrec.features.attributes import AttributeEncoder
from graphrec.features.audio import AudioEncoder
from graphrec.features.cnn_lstm import CnnLstmEncoder
from graphrec.features.features import Features, Modality
from graphrec.features.files import FileEncoder
from graphrec.features.image import ImageEncoder
from graphrec.features.pretrained import ContentEncoder, EncodedModality, PretrainedConfig
from graphrec.features.spectra import LogmelEncoder, MfccEncoder, StftEncoder
from graphrec.features.text import TextEncoder
from graphrec.features.tfidf import TfidfEncoder
from graphrec.names import resolve


class Encoder(Protocol):
    """Turns item content into one modality. All that identifies an encoder is in its config."""

    Config: ClassVar[type[FeatureConfig]]

    def __init__(self, config: FeatureConfig) -> None: ...

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items.

        Args:
            items: the item table, one row per item in id order, or None.
            item_ids: external ids as text, in id order.

        Raises:
            DataError: the content is not what the config says it is.
        """
        ...


CONTENTS: dict[str, type[ContentEncoder]] = {
    "text": TextEncoder,
    "images": ImageEncoder,
    "audio": AudioEncoder,
}
"""What a pretrained encoder encodes: the key of ``[features.NAME]`` that says it."""


class PretrainedEncoder:
    """Weights from hub, folder or package; ``text``, ``images`` or ``audio`` says what to read."""

    Config: ClassVar[type[FeatureConfig]] = PretrainedConfig

    def __init__(self, config: PretrainedConfig) -> None:
        kind = next(each for each in CONTENTS.values() if isinstance(config, each.Config))
        self._encoder = kind(config)

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> EncodedModality:
        """Encode all items; values ``[I, F]``.

        Raises:
            ConfigError, DataError: weights or content are not what the config says.
        """
        return self._encoder.encode(items, item_ids)


class EncoderTable(dict[str, type[Encoder]]):
    """Encoders by name; those with a colon at the end by prefix: ``hf:`` is ``hf:anything``."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(self._key(name))

    def __missing__(self, name: str) -> type[Encoder]:
        if name in self:
            return self[self._key(name)]
        raise KeyError(name)

    @staticmethod
    def _key(name: str) -> str:
        prefix, colon, _ = name.partition(":")
        return prefix + colon


ENCODERS = EncoderTable(
    {
        "attributes": AttributeEncoder,
        "file": FileEncoder,
        "tfidf": TfidfEncoder,
        "logmel": LogmelEncoder,
        "mfcc": MfccEncoder,
        "stft": StftEncoder,
        "cnn_lstm": CnnLstmEncoder,
        "hf:": PretrainedEncoder,
        "local:": PretrainedEncoder,
        "package:": PretrainedEncoder,
        "torchvision:": PretrainedEncoder,
    }
)
"""Every encoder. ``encoder`` is a name, or one of the prefixes and what it should find."""


def encode(dataset: Dataset, configs: Mapping[str, FeatureConfig]) -> Features:
    """Run the encoder of every modality.

    Raises:
        ConfigError, DataError: the message starts with the ``[features.NAME]`` at fault.
    """
    modalities = {}
    for name, config in configs.items():
        try:
            modality = _encode_one(dataset, config)
        except GraphRecError as error:
            raise type(error)(f"[features.{name}] {error}") from error
        modalities[name] = modality
    return Features(modalities, num_items=len(dataset.item_ids))


def _encode_one(dataset: Dataset, config: FeatureConfig) -> Modality:
    encoder = resolve(config.encoder, ENCODERS, "encoder")
    if not isinstance(config, encoder.Config):
        raise ConfigError(
            f"encoder = {config.encoder!r} takes a {encoder.Config.__name__}, "
            f"not a {type(config).__name__}."
        )
    config = config.located(dataset.folder)
    modality = encoder(config).encode(dataset.item_table, dataset.item_ids)
    if not modality.present.any():
        raise DataError(
            f"none of the {len(dataset.item_ids)} items has such content. Check that the content "
            f"belongs to data set {dataset.name!r}, or remove this modality."
        )
    return modality
