"""Locate the joints of a person on pictures and frames with ViTPose."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.features.image.networks import HubNetwork, Loaded

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedModel

    from graphrec.features.image.config import ImageNetworkConfig

PADDING = 1.25
"""Ratio of the network's view to the box of the person; ViTPose is trained with it."""

KEYPOINTS = "whole picture as the box; largest heat, a quarter towards the warmer neighbour"
"""Description of reading keypoints from heatmaps; part of the identity."""


class _Output(Protocol):
    """Output of ViTPose."""

    heatmaps: Tensor


def is_pose(folder: Path) -> bool:
    """Return whether a model folder holds a ViTPose."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # the loader will say what is wrong
    return isinstance(settings, dict) and settings.get("model_type") == "vitpose"


class PoseNetwork(HubNetwork):
    """x, y and score of each of K keypoints, ``[K * 3]``; the whole picture is the person's box.

    x and y are shares of the width and height of the picture, and beyond [0, 1] in the border that
    the network's view adds; the score is the heat at the keypoint.

    Source: xu2022vitpose. Keypoints are read from heatmaps as in xiao2018baselines.
    """

    def __init__(self, config: "ImageNetworkConfig") -> None:
        super().__init__(config)
        if (config.layer, config.pooling) != (None, "mean"):
            raise ConfigError(
                f"{config.encoder} finds keypoints, not vectors: remove layer and pooling."
            )
        if config.fine_tune != "none":
            raise ConfigError(
                f"{config.encoder} finds keypoints, and nothing is trained for them: remove "
                f"fine_tune and frame_pooling = 'attention'."
            )

    def identity(self) -> dict[str, Json]:
        """Return the identity of the weights and the reading of keypoints."""
        return {**super().identity(), "keypoints": KEYPOINTS, "padding": PADDING}

    def load(self) -> Loaded:
        """Load model and image processor.

        Raises:
            DataError: the folder holds no ViTPose.
        """
        processor, model = self._parts("VitPoseForPoseEstimation")

        def transform(picture: "Image") -> Tensor:
            """Return pixels ``[3 * H * W]``, then the stretch of the padded box in x and y."""
            width, height = picture.size
            box = [[[0.0, 0.0, float(width), float(height)]]]
            pixels = processor(images=picture, boxes=box, return_tensors="pt")["pixel_values"][0]
            aspect = pixels.shape[2] / pixels.shape[1]
            wide, high = max(width, aspect * height), max(height, width / aspect)
            stretch = torch.tensor([PADDING * wide / width, PADDING * high / height])
            return torch.cat([pixels.flatten(), stretch])

        return Loaded(transform, _Pose(model).eval())


class _Pose(nn.Module):
    """Module from pixels and stretch ``[b, 3 * H * W + 2]`` to keypoints ``[b, K * 3]``."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.model = model
        self.size: list[int] = list(model.config.backbone_config.image_size)
        self.has_experts = model.config.backbone_config.num_experts > 1

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = inputs[:, :-2].unflatten(1, (3, *self.size))
        stretch = inputs[:, None, -2:]
        experts = None
        if self.has_experts:  # expert 0 is trained on COCO, whose keypoints the head predicts
            experts = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
        output: _Output = self.model(pixel_values=pixels, dataset_index=experts)
        positions, scores = keypoints(output.heatmaps)
        positions = (positions - 0.5) * stretch + 0.5
        return torch.cat([positions, scores[..., None]], dim=2).flatten(1)


def keypoints(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the position of the maximum of each heatmap, and its heat.

    The position is a quarter of a pixel from the warmest pixel towards the warmer of its two
    neighbours, in x and in y; at the border, where a neighbour is missing, there is no shift. The
    first and last pixels are at 0 and 1.

    Shapes:
        heatmaps ``[b, K, H, W]`` -> positions ``[b, K, 2]`` (x, y) and heats ``[b, K]``.
    """
    height, width = heatmaps.shape[2:]
    flat = heatmaps.flatten(2)
    scores, at = flat.max(dim=2)

    def shifted(position: Tensor, size: int, step: int) -> Tensor:
        inner = (position > 0) & (position < size - 1)
        after = flat.gather(2, torch.where(inner, at + step, at)[..., None])
        before = flat.gather(2, torch.where(inner, at - step, at)[..., None])
        return (position + 0.25 * (after - before).sign()[..., 0]) / max(size - 1, 1)

    x, y = shifted(at % width, width, 1), shifted(at // width, height, width)
    return torch.stack([x, y], dim=2), scores
