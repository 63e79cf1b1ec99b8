"""Encode sound files: the base of all encoders of sounds, and the pretrained one."""

from typing import ClassVar

import polars as pl
from torch import Tensor

from graphrec.core.config import Json
from graphrec.features.audio.config import AudioConfig, SoundConfig
from graphrec.features.audio.hub_networks import HubSounds
from graphrec.features.audio.networks import SoundNetwork
from graphrec.features.audio.sounds import DECODING, LIBRARIES, Samples, read_sound
from graphrec.features.audio.voice import VOICE, VoiceNetwork
from graphrec.features.config import FeatureConfig
from graphrec.features.content.media import MediaEncoder
from graphrec.features.content.networks import Network
from graphrec.features.content.sources import Content, file_content
from graphrec.features.content.weights import missing_extra, versions


class SoundEncoder(MediaEncoder):
    """Base of the encoders of sounds: finds the files and decodes them."""

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
        """Return, for the identity, how files become samples."""
        return {"max_seconds": self.sounds.max_seconds, "decoding": DECODING}

    def samples(self, path: str, key: str, rate: int, min_samples: int) -> Samples:
        """Decode a file into samples.

        Raises:
            UnreadableError: the file has no sound, or too little of it.
        """
        return read_sound(path, key, rate, self.sounds.max_seconds, min_samples)


class AudioEncoder(SoundEncoder):
    """Pretrained encoder of sounds: the output of a layer, averaged over time."""

    Config: ClassVar[type[FeatureConfig]] = AudioConfig

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(config)
        is_voice = config.encoder == VOICE
        self._network: SoundNetwork = VoiceNetwork() if is_voice else HubSounds(config)

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights and every setting that changes a row."""
        return {
            **self._network.identity(),
            **self.decoding(),
            "versions": versions(*LIBRARIES, *self._network.libraries),
        }

    def licence(self) -> str:
        """Return the licence of the weights."""
        return self._network.licence()

    def network(self) -> Network:
        """Return the loaded network, with the preparation of sounds that its weights need."""
        loaded = self._network.load()

        def prepare(path: str, key: str) -> Tensor:
            return loaded.prepare(self.samples(path, key, loaded.rate, loaded.min_samples))

        return Network(prepare, loaded.collate, loaded.module)
