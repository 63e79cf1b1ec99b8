"""Settings of the flagship, ``modality_attention_gcn``."""

from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import PositiveFloat, model_validator

from graphrec.fusion.settings import FusionConfig
from graphrec.graphs.settings import GraphConfig
from graphrec.models.base import EmbeddingConfig


class ModalityAttentionGCNConfig(GraphConfig, FusionConfig, EmbeddingConfig):
    """Settings of the flagship.

    Defaults that differ from those of other models were chosen on the validation parts of
    MovieLens-100K (two splits), Last.fm 2K and TikTok (``benchmarks/defaults``).
    """

    former_defaults: ClassVar[Mapping[str, object]] = {
        "loss": "bpr",
        "temperature": 1.0,
        "normalize": False,
        "init_std": 0.1,
    }

    loss: Literal["bpr", "softmax", "bce"] = "softmax"
    """Training objective."""
    temperature: PositiveFloat = 0.15
    """Scores are divided by it inside the loss."""
    normalize: bool = True
    """Rank by cosine instead of inner product, in training and evaluation."""
    init_std: PositiveFloat = 0.05
    """Standard deviation of the initial embeddings."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.require_fitting_fusion()
        self.require_fitting_backbone()
        if self.where == "graph" and not self.item_layers:
            raise ValueError("where = 'graph' needs the graph of similar items: item_layers = 1")
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} must divide dim = {self.dim}")
        self.require_effect()
        return self

    def idle(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        yield from self.idle_fusion()
        yield from self.idle_graph()

    def reduced(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Without what needs other modalities; without any, items are free embeddings alone."""
        left = super().reduced(matrices, lists)
        return left if left.item_layers or left.where != "graph" else left.at_defaults(["where"])
