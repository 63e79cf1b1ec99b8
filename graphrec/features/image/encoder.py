"""Encode pictures by a pretrained network."""

from typing import ClassVar

import polars as pl
from torch import Tensor

from graphrec.core.config import Json
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.media import MediaEncoder, stack
from graphrec.features.content.networks import Network
from graphrec.features.content.sources import Content, file_content
from graphrec.features.content.weights import missing_extra, model_folder
from graphrec.features.image.config import LITE0, ImageConfig, ImageNetworkConfig
from graphrec.features.image.networks import HubNetwork, ImageNetwork
from graphrec.features.image.pictures import DECODING, read_picture
from graphrec.features.image.pose import PoseNetwork, is_pose
from graphrec.features.image.torchvision_networks import Lite0Network, TorchvisionNetwork
from graphrec.features.image.torchvision_shim import import_torchvision


class ImageEncoder(MediaEncoder):
    """Pretrained encoder of pictures: the output of a layer, averaged over positions if any."""

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
        """Return the sha256 of the weights and every setting that changes a row."""
        return {**self._network.identity(), "decoding": DECODING}

    def licence(self) -> str:
        """Return the licence of the weights."""
        return self._network.licence()

    def network(self) -> Network:
        """Return the loaded network, with the transform of pictures that its weights need."""
        transform, module = self._network.load()

        def prepare(path: str, key: str) -> Tensor:
            return transform(read_picture(path, key, self.config.max_pixels))

        return Network(prepare, stack, module)


def image_network(config: ImageNetworkConfig) -> ImageNetwork:
    """Return the network that the settings name, not yet loaded.

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
