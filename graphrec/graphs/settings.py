"""Settings of message passing: between users and items, and among similar items."""

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from graphrec.config import Fraction, ModelConfig
from graphrec.graphs.augment import EdgeDropKind


class GraphConfig(ModelConfig):
    """Backbone, what training leaves out of it, and the graph of similar items."""

    num_layers: NonNegativeInt = 2
    """Layers L of message passing."""
    backbone: Literal["lightgcn", "ngcf", "gat", "none"] = "lightgcn"
    """Kind of message passing between users and items; none leaves it out."""
    heads: PositiveInt = 1
    """Attention heads of the gat backbone; they share dim equally."""
    dropout: Fraction = 0.0
    """Message dropout of the ngcf backbone."""
    edge_drop: Fraction = 0.0
    """Share of the user-item edges that is left out of training, drawn anew each epoch."""
    edge_drop_kind: EdgeDropKind = "uniform"
    """Edges go with equal probability, or rather where both ends have many (degree)."""
    item_layers: NonNegativeInt = 0
    """Layers over the graph of similar items, for all backbones but ngcf; 0 leaves it out."""
    knn_k: PositiveInt = 10
    """Similar items of each item in each modality."""
    knn_edges: Literal["binary", "cosine"] = "binary"
    """Similar items weigh the same, or by their cosine."""
    knn_shares: Mapping[str, NonNegativeFloat] | None = None
    """Share of each modality in the graph of similar items, by name; by default all equal."""

    def require_fitting_backbone(self) -> None:
        """Refuse a graph of similar items where it has no place.

        Raises:
            ValueError: the backbone is ngcf.
        """
        if self.item_layers and self.backbone == "ngcf":
            raise ValueError("item_layers is for backbone = 'lightgcn', 'gat' or 'none'")

    def idle_graph(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        on_backbone = f"on backbone = {self.backbone!r}"
        if self.backbone == "none":
            yield "num_layers", on_backbone
            yield "edge_drop", on_backbone
        for name, backbone in (("heads", "gat"), ("dropout", "ngcf")):
            if self.backbone != backbone:
                yield name, on_backbone
        if not self.num_layers:
            for name in ("heads", "dropout", "edge_drop"):
                yield name, "while num_layers = 0"
        if not self.edge_drop:
            yield "edge_drop_kind", "while edge_drop = 0"
        if not self.item_layers:
            for name in ("knn_k", "knn_edges", "knn_shares"):
                yield name, "while item_layers = 0"

    def reduced(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Without the shares of other modalities, and without a graph of none."""
        left = super().reduced(matrices, lists)
        shares = dict.fromkeys((*matrices, *lists), 1.0)
        if self.knn_shares is not None:
            shares = {name: self.knn_shares[name] for name in self.knn_shares if name in shares}
            left = left.model_copy(update={"knn_shares": shares})
        return left if any(shares.values()) else left.at_defaults(["item_layers"])
