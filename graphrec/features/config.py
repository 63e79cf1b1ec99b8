"""Settings that every encoder has."""

from pathlib import Path
from typing import Literal, Self

from graphrec.core.config import DATA_FOLDER, PLACE, Config, Json


class FeatureConfig(Config):
    """One modality; ``encoder`` chooses the class that adds the other settings."""

    encoder: str
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""

    def identity(self) -> dict[str, Json]:
        """As in every table; the encoder is always named, a ``local:`` one without its folder."""
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
