"""Settings of every pretrained encoder."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from graphrec.core.config import AbsolutePath
from graphrec.features.config import FeatureConfig

DOWNLOADED = ("hf:", "torchvision:")
"""Prefixes of encoders whose weights may have to be downloaded."""


FineTune = Annotated[str, Field(pattern=r"^(none|all|last:[1-9][0-9]*)$")]


class PretrainedConfig(FeatureConfig):
    """Settings of every pretrained encoder; the content key chooses the others."""

    incidental: ClassVar[frozenset[str]] = frozenset(
        {"store", "strict", "device", "memory_mb", "allow_download"}
    )

    former_names: ClassVar[Mapping[str, str]] = {
        "normalize": "normalise",
        "fine_tune_lr_scale": "fine_tune_lr",
    }

    encoder: str
    """hf:HUB_ID, local:FOLDER, package:INSTALLED_PACKAGE, or torchvision:MODEL for images and
    videos."""
    store: AbsolutePath | None = None
    """Folder of encoded rows, shared by all runs; by default data/processed/features, or features
    below the folder that the environment variable GRAPHREC_CACHE names."""
    strict: bool = False
    """Content that is missing or cannot be read, or a damaged store, is an error."""
    batch_size: PositiveInt = 32
    """Texts or files per step of the network."""
    allow_download: bool = False
    """Download weights of hf: or torchvision: that are not on this machine."""
    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda or cuda:N."""
    storage: Literal["float32", "float16"] = "float32"
    """Precision of the stored rows."""
    pca: PositiveInt | None = None
    """Keep so many principal components of the rows; nothing is stored anew for it."""
    normalize: Literal["none", "l2"] = "none"
    """Leave the rows, or scale each to length 1 (after pca)."""
    memory_mb: PositiveInt = 2048
    """A larger matrix lies in the store and is mapped into memory."""
    fine_tune: FineTune = "none"
    """none, all, or last:N, the last N layers: trained with the recommender, whose loss on the
    items of a batch reaches the encoder."""
    fine_tune_items: PositiveInt = 256
    """Items of a batch that reach the encoder; more are left at their last rows."""
    fine_tune_lr_scale: PositiveFloat = 0.1
    """Learning rate of the encoder as a multiple of training.lr."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _download_possible(self) -> Self:
        if self.allow_download and not self.encoder.startswith(DOWNLOADED):
            raise ValueError(
                f"allow_download has no effect on encoder = {self.encoder!r}, whose weights are on "
                f"this machine; remove it"
            )
        return self

    @model_validator(mode="after")
    def _fine_tuning_used(self) -> Self:
        if self.fine_tune != "none":
            if self.pca is not None:
                raise ValueError("pca cannot follow an encoder that is trained: remove one of them")
            return self
        for name in ("fine_tune_items", "fine_tune_lr_scale", "gradient_checkpointing"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for fine_tune = 'last:N' or 'all'")
        return self


class MediaConfig(PretrainedConfig):
    """Settings of every encoder of files."""

    incidental: ClassVar[frozenset[str]] = PretrainedConfig.incidental | {"workers"}

    workers: PositiveInt = 4
    """Threads that decode."""
