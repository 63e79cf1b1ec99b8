"""List the encoders, and run the encoder of every modality."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import polars as pl

from graphrec.core.errors import ConfigError, DataError, GraphRecError
from graphrec.core.names import resolve
from graphrec.data import Dataset, Features, Interactions, Modality
from graphrec.features.audio.cnn_lstm import CnnLstmEncoder
from graphrec.features.audio.encoder import AudioEncoder
from graphrec.features.audio.spectra import LogmelEncoder, MfccEncoder, StftEncoder
from graphrec.features.config import FeatureConfig, Side
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.pretrained import ContentEncoder, EncodedModality
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.tabular.attributes import AttributeEncoder
from graphrec.features.tabular.matrices import FileEncoder
from graphrec.features.tabular.neighbours import NeighbourEncoder
from graphrec.features.tabular.spectral import SpectralEncoder
from graphrec.features.tabular.statistics import InteractionEncoder
from graphrec.features.tabular.tfidf import BowEncoder, TfidfEncoder
from graphrec.features.tabular.word2vec import Word2VecEncoder
from graphrec.features.text.encoder import TextEncoder
from graphrec.features.video.encoder import VideoEncoder


class Encoder(Protocol):
    """Encoder of item content as one modality; its config holds all that identifies it."""

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
    "text_files": TextEncoder,
    "images": ImageEncoder,
    "video": VideoEncoder,
    "audio": AudioEncoder,
}
"""Pretrained encoders by the key of ``[features.NAME]`` that names their content."""


class PretrainedEncoder:
    """Weights from hub, folder or package, for the content that a key like ``images`` names."""

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


AnyEncoder = type[Encoder] | type[InteractionEncoder]
"""Encoder of item content, or of the training part."""


class EncoderTable(dict[str, AnyEncoder]):
    """Encoders by name; a name with a colon at the end is a prefix: ``hf:`` serves ``hf:ID``."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(self._key(name))

    def __missing__(self, name: str) -> AnyEncoder:
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
        "bow": BowEncoder,
        "file": FileEncoder,
        "interactions": InteractionEncoder,
        "neighbours": NeighbourEncoder,
        "spectral": SpectralEncoder,
        "tfidf": TfidfEncoder,
        "word2vec": Word2VecEncoder,
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
"""All encoders. ``encoder`` is a name, or one of the prefixes followed by a reference."""


def encoder_of(name: str, side: Side) -> AnyEncoder:
    """Return an encoder of items or of users.

    Raises:
        ConfigError: the name is unknown, or the encoder cannot describe users.
    """
    encoder = resolve(name, ENCODERS, "encoder")
    _require_encoder(name, encoder)
    if side == "users" and not issubclass(encoder, InteractionEncoder):
        raise ConfigError(
            f"encoder = {name!r} describes items and cannot stand in [user_features.NAME]. "
            f"Encoders of users: interactions."
        )
    return encoder


def config_of(table: Mapping[str, object], side: Side, name: str) -> type[FeatureConfig]:
    """Return the class of the settings in a raw ``[features.NAME]`` table.

    The settings of a pretrained encoder depend on its content, which the content key names.

    Raises:
        ConfigError: the encoder is unknown.
        ValueError: not exactly one content key is given.
    """
    encoder = encoder_of(name, side)
    if encoder is not PretrainedEncoder:
        return encoder.Config
    given = [key for key in CONTENTS if table.get(key) is not None]
    if len(given) != 1:
        keys = " or ".join(CONTENTS)
        raise ValueError(f"a pretrained encoder needs exactly one of {keys}: what to encode")
    return CONTENTS[given[0]].Config


def _require_encoder(name: str, loaded: object) -> None:
    """Refuse an imported class that is no encoder."""
    settings = getattr(loaded, "Config", None)
    has_config = isinstance(settings, type) and issubclass(settings, FeatureConfig)
    if not (isinstance(loaded, type) and has_config and callable(getattr(loaded, "encode", None))):
        raise ConfigError(
            f"The encoder {name!r} is no encoder: it is not a class with a Config, a subclass of "
            f"graphrec.features.config.FeatureConfig, and a method encode. Write one, or name "
            f"another one."
        )


def reads_train(configs: Mapping[str, FeatureConfig]) -> bool:
    """Return whether one of the encoders of items needs the training part."""
    encoders = (encoder_of(config.encoder, "items") for config in configs.values())
    return any(issubclass(encoder, InteractionEncoder) for encoder in encoders)


def encode(
    dataset: Dataset,
    configs: Mapping[str, FeatureConfig],
    train: Interactions | None = None,
    side: Side = "items",
) -> Features:
    """Run the encoder of every modality of the items, or of the users.

    ``train`` is the training part; only encoders that describe interactions receive it.

    Raises:
        ConfigError, DataError: the message starts with the ``[features.NAME]`` or
            ``[user_features.NAME]`` at fault.
    """
    table = "features" if side == "items" else "user_features"
    ids = dataset.item_ids if side == "items" else dataset.user_ids
    modalities = {}
    for name, config in configs.items():
        try:
            modality = _encode_one(dataset, config, train, side)
            if not isinstance(modality, Modality):
                raise ConfigError(
                    f"encode() of {config.encoder!r} returns a {type(modality).__name__}. Return "
                    f"a graphrec.data.Modality: rows [I, F] of float32, and which items have one."
                )
            if not modality.present.any():
                raise DataError(
                    f"none of the {len(ids)} {side} has such content. Check that the content "
                    f"belongs to data set {dataset.name!r}, or remove this modality."
                )
        except GraphRecError as error:
            raise type(error)(f"[{table}.{name}] {error}") from error
        modalities[name] = modality
    return Features(modalities, num_items=len(ids))


def _encode_one(
    dataset: Dataset, config: FeatureConfig, train: Interactions | None, side: Side
) -> Modality:
    encoder = encoder_of(config.encoder, side)
    if not isinstance(config, encoder.Config):
        raise ConfigError(
            f"encoder = {config.encoder!r} takes a {encoder.Config.__name__}, "
            f"not a {type(config).__name__}."
        )
    made = encoder(config.located(dataset.folder))
    if not isinstance(made, InteractionEncoder):
        return made.encode(dataset.item_table, dataset.item_ids)
    if train is None:
        raise ConfigError(
            f"encoder = {config.encoder!r} describes the training part, which was not given. Split "
            f"the data set first, and give encode() the part train of the split."
        )
    return made.encode(train, side)
