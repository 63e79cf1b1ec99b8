"""Define the interface of image networks, and load those of a Hugging Face folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.networks import Layers, hidden_layer
from graphrec.features.content.weights import (
    folder_licence,
    hub_identity,
    loading,
    missing_extra,
    model_folder,
    versions,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PreTrainedModel

    from graphrec.features.image.config import ImageNetworkConfig


class Loaded(NamedTuple):
    """A transform from a picture to pixels [3, H, W], and a module from [b, 3, H, W] to [b, F]."""

    transform: "Callable[[Image], Tensor]"
    module: nn.Module


class ImageNetwork(ABC):
    """Base of the image networks; the identity of a network is known before it is loaded."""

    def __init__(self, config: "ImageNetworkConfig") -> None:
        self.config = config

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return all that a row depends on, besides the pixels."""

    @abstractmethod
    def licence(self) -> str:
        """Return the licence of the weights, as far as their source states one."""

    @abstractmethod
    def load(self) -> Loaded:
        """Read the weights and build the network, on the CPU, in evaluation mode."""


class HubNetwork(ImageNetwork):
    """A vision model, or the image tower of a CLIP-like one, in a Hugging Face folder."""

    def __init__(self, config: "ImageNetworkConfig") -> None:
        super().__init__(config)
        self.folder = model_folder(config.encoder, config.revision, config.allow_download)

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of weights and image processor, the layer and the pooling."""
        config = self.config
        return {
            **hub_identity(
                config.encoder, config.revision, self.folder, config.layer, config.pooling
            ),
            "preprocessing": "preprocessor_config.json, part of weights_sha256",
            "versions": versions("torch", "torchvision", "transformers", "pillow"),
        }

    def licence(self) -> str:
        """Return the licence on the model card."""
        return folder_licence(self.folder)

    def load(self) -> Loaded:
        """Load model and image processor.

        Raises:
            ConfigError: there is no such layer.
            DataError: the folder holds no vision model.
        """
        processor, model = self._parts("AutoModel")
        joint = hasattr(model, "get_image_features")
        if joint and (self.config.layer, self.config.pooling) != (None, "mean"):
            raise ConfigError(
                f"{self.config.encoder} gives one joint embedding per picture: remove layer and "
                f"pooling."
            )

        def transform(picture: "Image") -> Tensor:
            pixels: Tensor = processor(images=picture, return_tensors="pt")["pixel_values"][0]
            return pixels

        module = _Joint(model) if joint else _Hidden(model, self.config)
        return Loaded(transform, module.eval())

    def _parts(self, kind: str) -> "tuple[BaseImageProcessor, PreTrainedModel]":
        """Load the image processor, and the model as a class of transformers."""
        try:
            import transformers
        except ImportError as error:
            raise missing_extra(error, self.config.encoder) from error
        try:
            processor = transformers.AutoImageProcessor.from_pretrained(
                self.folder, local_files_only=True
            )
            with loading():
                model = getattr(transformers, kind).from_pretrained(
                    self.folder, local_files_only=True, dtype=torch.float32
                )
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"encoder = {self.config.encoder!r}: {self.folder} holds no vision model with its "
                f"image processor: {error}"
            ) from error
        return processor, model


class _Joint(nn.Module):
    """The image tower of a CLIP-like model."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.model.get_image_features(pixel_values=pixels)
        return output if isinstance(output, Tensor) else output.pooler_output


class _Hidden(nn.Module):
    """A hidden layer of a vision model, pooled."""

    def __init__(self, model: "PreTrainedModel", config: "ImageNetworkConfig") -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, pixels: Tensor) -> Tensor:
        layer = self.config.layer
        output: Layers = self.model(pixel_values=pixels, output_hidden_states=layer is not None)
        assert not isinstance(layer, str)  # the config refuses it
        hidden = hidden_layer(output, layer, self.config.encoder)
        return hidden[:, 0] if self.config.pooling == "cls" else over_positions(hidden)


def over_positions(values: Tensor) -> Tensor:
    """Average ``[b, F, T, H, W]``, ``[b, F, H, W]`` or ``[b, T, F]`` over the positions.

    ``[b, F]`` stays.
    """
    if values.ndim in (4, 5):
        return values.flatten(2).mean(dim=2)
    return values.mean(dim=1) if values.ndim == 3 else values
