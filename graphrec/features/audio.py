"""Sound files: what all their encoders share, and those with pretrained weights."""

from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from graphrec.config import FeatureConfig, Json
from graphrec.features.audio_hub import HubSounds
from graphrec.features.audio_networks import SoundNetwork
from graphrec.features.content import Content, file_content
from graphrec.features.media import MediaConfig, MediaEncoder
from graphrec.features.networks import Network
from graphrec.features.paths import Pattern
from graphrec.features.sounds import DECODING, LIBRARIES, Samples, read_sound
from graphrec.features.voice import VOICE, VoiceNetwork
from graphrec.features.weights import missing_extra, versions


class SoundConfig(MediaConfig):
    """Sound files; ``encoder`` chooses how they become rows, and the other settings."""

    audio: Pattern
    """File of an item: {item} is its id, any other {name} a column of the item table; {data} at
    the start is the folder of the data set."""
    max_seconds: PositiveFloat = 30.0
    """Of a longer sound the first seconds count; the rest is never decoded."""


class SoundEncoder(MediaEncoder):
    """Finds the files and decodes them."""

    kind: ClassVar[str] = "audio"

    def __init__(self, config: SoundConfig) -> None:
        super().__init__(config)
        self.sounds = config
        try:
            import librosa  # noqa: F401
            import soundfile  # noqa: F401
        except ImportError as error:
            raise missing_extra(error, config.encoder) from error

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Find the file of each item.

        Raises:
            DataError: the folder or a column is absent.
        """
        return file_content(items, item_ids, self.sounds.audio)

    def decoding(self) -> dict[str, Json]:
        """How files become samples, for the identity."""
        return {"max_seconds": self.sounds.max_seconds, "decoding": DECODING}

    def samples(self, path: str, key: str, rate: int, min_samples: int) -> Samples:
        """Decode a file.

        Raises:
            UnreadableError: there is no sound in it, or too little.
        """
        return read_sound(path, key, rate, self.sounds.max_seconds, min_samples)


class AudioConfig(SoundConfig):
    """Sound files and the pretrained network that listens to them."""

    batch_size: PositiveInt = 8
    """Sounds per step of the network."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    layer: int | None = None
    """Number of a hidden layer, 0 to L; by default the last. Not for package:resemblyzer."""
    pooling: Literal["mean", "cls"] = "mean"
    """Mean of the vectors of all times, or, of a spectrogram transformer, the first one."""

    @model_validator(mode="after")
    def _settings_fit_the_encoder(self) -> Self:
        if self.encoder.startswith("torchvision:"):
            raise ValueError("torchvision has no audio encoders; use hf:, local: or package:")
        if self.revision is not None and not self.encoder.startswith("hf:"):
            raise ValueError("revision is for hf: encoders")
        if self.encoder == VOICE and (self.layer, self.pooling) != (None, "mean"):
            raise ValueError(f"{VOICE} gives one vector per sound: remove layer and pooling")
        return self


class AudioEncoder(SoundEncoder):
    """The output of a layer, averaged over time."""

    Config: ClassVar[type[FeatureConfig]] = AudioConfig

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        is_voice = config.encoder == VOICE
        self._network: SoundNetwork = VoiceNetwork() if is_voice else HubSounds(config)

    def identity(self) -> dict[str, Json]:
        """Weights by their sha256, and every setting that changes a row."""
        return {
            **self._network.identity(),
            **self.decoding(),
            "versions": versions(*LIBRARIES, *self._network.libraries),
        }

    def licence(self) -> str:
        """Of the weights."""
        return self._network.licence()

    def network(self) -> Network:
        """Decode and prepare as the weights define it; then the network."""
        loaded = self._network.load()

        def prepare(path: str, key: str) -> Tensor:
            return loaded.prepare(self.samples(path, key, loaded.rate, loaded.min_samples))

        return Network(prepare, loaded.collate, loaded.module)
