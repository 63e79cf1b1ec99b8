"""Define the settings that every encoder has."""

from pathlib import Path
from typing import Literal, Self

from graphrec.core.config import DATA_FOLDER, PLACE, Config, Json


class FeatureConfig(Config):
    """Settings of one modality; ``encoder`` chooses the class with the other settings."""

    encoder: str
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""

    def identity(self) -> dict[str, Json]:
        """Return the identity with the encoder always named, ``local:`` without its folder."""
        prefix, colon, _ = self.encoder.partition(":")
        named = prefix + colon + PLACE if prefix == "local" else self.encoder
        return {**super().identity(), "encoder": named}

    def located(self, folder: Path) -> Self:
        """Return the settings with ``{data}`` at the start of paths replaced by ``folder``."""
        start = f"{DATA_FOLDER}/"
        paths = {
            name: type(value)(folder / str(value).removeprefix(start))
            for name, value in self
            if isinstance(value, str | Path) and str(value).startswith(start)
        }
        return self.model_copy(update=paths)


Side = Literal["items", "users"]
