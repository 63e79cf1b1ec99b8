"""Sound files: what all their encoders share."""

from typing import ClassVar

import polars as pl
from pydantic import PositiveFloat

from graphrec.config import Json
from graphrec.features.content import Content, file_content
from graphrec.features.media import MediaConfig, MediaEncoder, Pattern
from graphrec.features.sounds import DECODING, Samples, read_sound
from graphrec.features.weights import missing_extra


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
