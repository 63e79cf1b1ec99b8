"""The table of encoders, and the one verb that runs them."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import polars as pl

from graphrec.config import FeatureConfig
from graphrec.datasets.dataset import Dataset
from graphrec.errors import ConfigError, DataError, GraphRecError
from graphrec.features.attributes import AttributeEncoder
from graphrec.features.features import Features, Modality
from graphrec.features.files import FileEncoder
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


ENCODERS: dict[str, type[Encoder]] = {
    "attributes": AttributeEncoder,
    "file": FileEncoder,
    "tfidf": TfidfEncoder,
}


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
    modality = encoder(config).encode(dataset.item_table, dataset.item_ids)
    if not modality.present.any():
        raise DataError(
            f"none of the {len(dataset.item_ids)} items has such content. Check that the content "
            f"belongs to data set {dataset.name!r}, or remove this modality."
        )
    return modality
