"""Turn the frames of videos into rows by networks."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.features.content.weights import missing_extra
from graphrec.features.image.encoder import image_network
from graphrec.features.image.networks import ImageNetwork, Loaded
from graphrec.features.image.torchvision_networks import TorchvisionNetwork, model_names
from graphrec.features.image.torchvision_shim import import_torchvision

if TYPE_CHECKING:
    from PIL.Image import Image

    from graphrec.features.video.config import VideoConfig


class FrameByFrame(nn.Module):
    """An image network on each frame: pixels ``[b, T, 3, H, W]`` -> ``[b, T * F]``.

    ``at_once`` frames go through the network together, so that memory does not grow with T.
    """

    def __init__(self, module: nn.Module, at_once: int) -> None:
        super().__init__()
        self.module = module
        self.at_once = at_once

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode all frames."""
        frames = pixels.flatten(0, 1).split(self.at_once)
        rows = torch.cat([self.module(some) for some in frames])
        return rows.reshape(len(pixels), -1)


class PooledFrames(nn.Module):
    """The rows of frames ``[b, T * F]``, pooled: ``[b, F]``."""

    def __init__(self, frames: nn.Module, count: int, pooling: Literal["mean", "max"]) -> None:
        super().__init__()
        self.frames, self.count, self.pooling = frames, count, pooling

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode the frames and pool their rows."""
        rows: Tensor = self.frames(pixels).unflatten(1, (self.count, -1))
        return rows.mean(dim=1) if self.pooling == "mean" else rows.amax(dim=1)


class ClipNetwork(TorchvisionNetwork):
    """A video classifier of torchvision at one of its nodes.

    Its transform turns a picture into one frame, and the input of its module is all frames of a
    clip, ``[b, T, 3, H, W]``.
    """

    kind: ClassVar[Literal["image", "video"]] = "video"
    other: ClassVar[str] = " Any image model of torchvision can look at each frame."

    def __init__(self, config: "VideoConfig") -> None:
        super().__init__(config)
        least = self.chosen.meta.get("min_temporal_size", 1)
        exactly = self.name.startswith("mvit")  # its positions are counted when it is built
        if config.frames < least or (exactly and config.frames != least):
            raise ConfigError(
                f"frames = {config.frames}, but {self.name} looks at "
                f"{'exactly' if exactly else 'at least'} {least}. Set frames = {least}."
            )

    def load(self) -> Loaded:
        """Build the model, load its weights and cut it at the layer.

        Raises:
            ConfigError: there is no such layer.
            DataError: the weights are absent, damaged or of another model.
        """
        from torchvision.transforms.functional import pil_to_tensor

        clip_transform, module = super().load()

        def transform(picture: "Image") -> Tensor:
            frame = pil_to_tensor(picture)
            return clip_transform(frame[None])[:, 0]

        return Loaded(transform, _Clip(module).eval())


class _Clip(nn.Module):
    """Module for a network of clips ``[b, 3, T, H, W]``, with input ``[b, T, 3, H, W]``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixels: Tensor) -> Tensor:
        rows: Tensor = self.module(pixels.transpose(1, 2))
        return rows


def video_network(config: "VideoConfig") -> ImageNetwork:
    """Return the network that the settings name, not yet loaded.

    Raises:
        ConfigError: libraries are missing, or there is no such model or weights.
        DataError: the folder with the weights is absent.
    """
    try:
        import_torchvision()
        import av  # noqa: F401
    except ImportError as error:
        raise missing_extra(error, config.encoder) from error
    prefix, _, name = config.encoder.partition(":")
    if prefix == "torchvision" and name not in model_names("image"):
        return ClipNetwork(config)
    return image_network(config)
