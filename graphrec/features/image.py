"""Pictures through a pretrained network."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import AfterValidator, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from graphrec.config import Json, absolute
from graphrec.features.content import Content, file_content
from graphrec.features.image_networks import HubNetwork, ImageNetwork
from graphrec.features.media import MediaConfig, MediaEncoder, stack
from graphrec.features.networks import Network
from graphrec.features.paths import Pattern
from graphrec.features.pictures import DECODING, read_picture
from graphrec.features.pose import PoseNetwork, is_pose
from graphrec.features.pretrained import PretrainedConfig
from graphrec.features.torchvision_networks import (
    LITE0,
    STATE_DICTS,
    Lite0Network,
    TorchvisionNetwork,
)
from graphrec.features.torchvision_shim import import_torchvision
from graphrec.features.weights import missing_extra, model_folder


def _weights(value: str) -> str:
    return str(absolute(Path(value))) if value.endswith(STATE_DICTS) else value


class ImageNetworkConfig(MediaConfig):
    """Which network looks at pictures, be they files or frames."""

    weights: Annotated[str, AfterValidator(_weights)] = "default"
    """torchvision: default, another name of the model's weights, random, or a file with a
    state_dict (.safetensors or .pth)."""
    seed: NonNegativeInt = 0
    """Seed of random weights."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    layer: str | int | None = None
    """torchvision and efficientnet-lite0: a node, by default the one before the last linear layer;
    otherwise the number of a hidden layer, by default the last."""
    pooling: Literal["mean", "cls"] = "mean"
    """hf, local and package: mean of the patch vectors, or the first one."""

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
    """Picture files and the network that looks at them."""

    images: Pattern
    """File of an item: {item} is its id, any other {name} a column of the item table; {data} at
    the start is the folder of the data set."""
    max_pixels: PositiveInt = 50_000_000
    """Larger pictures count as missing: a small file can unpack to all memory."""


class ImageEncoder(MediaEncoder):
    """The output of a layer, averaged over positions where it has any."""

    Config: ClassVar[type[PretrainedConfig]] = ImageConfig
    kind: ClassVar[str] = "image"

    def __init__(self, config: ImageConfig) -> None:
        super().__init__(config)
        self.config = config
        self._network = image_network(config)

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Find the file of each item.

        Raises:
            DataError: the folder or a column is absent.
        """
        return file_content(items, item_ids, self.config.images)

    def identity(self) -> dict[str, Json]:
        """Weights by their sha256, and every setting that changes a row."""
        return {**self._network.identity(), "decoding": DECODING}

    def licence(self) -> str:
        """Of the weights."""
        return self._network.licence()

    def network(self) -> Network:
        """Decode and transform as the weights define it; then the network."""
        transform, module = self._network.load()

        def prepare(path: str, key: str) -> Tensor:
            return transform(read_picture(path, key, self.config.max_pixels))

        return Network(prepare, stack, module)


def image_network(config: ImageNetworkConfig) -> ImageNetwork:
    """Return the network that the settings mean, not yet loaded.

    Raises:
        ConfigError: libraries are missing, or there is no such model or weights.
        DataError: the folder with the weights is absent.
    """
    try:
        import_torchvision()
        import PIL  # noqa: F401
    except ImportError as error:
        raise missing_extra(error, config.encoder) from error
    if config.encoder.startswith("torchvision:"):
        return TorchvisionNetwork(config)
    if config.encoder == LITE0:
        return Lite0Network(config)
    folder = model_folder(config.encoder, config.revision, config.allow_download)
    return PoseNetwork(config) if is_pose(folder) else HubNetwork(config)
