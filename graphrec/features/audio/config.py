"""Define the settings of audio encoders."""

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from graphrec.features.audio.voice import VOICE
from graphrec.features.content.config import MediaConfig
from graphrec.features.content.paths import Pattern


class SoundConfig(MediaConfig):
    """Settings of every encoder of sound files."""

    audio: Pattern
    """File of an item: {item} is its id, any other {name} a column of the item table; {data} at
    the start is the folder of the data set."""
    max_seconds: PositiveFloat = 30.0
    """Seconds of a sound that count, from its start; the rest is never decoded."""


class AudioConfig(SoundConfig):
    """Settings of sound files and the pretrained network that reads them."""

    batch_size: PositiveInt = 8
    """Number of sounds per step of the network."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    layer: int | None = None
    """Number of the hidden layer, 0 to L; by default the last. Not for package:resemblyzer."""
    pooling: Literal["mean", "cls"] = "mean"
    """Mean of the vectors over time, or the first vector of a spectrogram transformer."""

    @model_validator(mode="after")
    def _settings_fit_the_encoder(self) -> Self:
        if self.encoder.startswith("torchvision:"):
            raise ValueError("torchvision has no audio encoders; use hf:, local: or package:")
        if self.revision is not None and not self.encoder.startswith("hf:"):
            raise ValueError("revision is for hf: encoders")
        if self.encoder == VOICE and (self.layer, self.pooling) != (None, "mean"):
            raise ValueError(f"{VOICE} gives one vector per sound: remove layer and pooling")
        return self
