"""The graph of similar items inside a model; modalities can be taken out of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.data import Modality
from graphrec.graphs import DirectedGraph, Rule, neighbours_of, propagate, similarity_graph
from graphrec.graphs.similarity import BLOCK_BYTES
from graphrec.models.modality_attention_gcn.config import GraphConfig


def graph_needs(features: Mapping[str, Modality], settings: GraphConfig) -> Iterator[Need]:
    """The rows of a modality in float64, a block of cosines, and the lists of neighbours."""
    for name, modality in features.items():
        items, width = modality.values.shape
        if settings.item_layers and width:
            num_bytes = 12 * items * width + 3 * BLOCK_BYTES + 16 * items * settings.knn_k
            yield Need(
                f"[features.{name}]: the graph of similar items, {items:,} rows of {width:,}",
                num_bytes,
                "Set pca of the encoder to fewer columns, lower model.knn_k, or set "
                "model.item_layers = 0.",
            )


class SimilarItems(nn.Module):
    """h -> S^L h, S the graph of similar items and L = ``item_layers``; with L = 0 there is no S.

    A modality that is hidden by ``without`` counts as one in which no item has neighbours.

    Raises:
        ConfigError: no modality can tell similar items, or with L = 0 one is good for that only.
    """

    graph: DirectedGraph | None

    def __init__(
        self,
        features: Mapping[str, Modality],
        settings: GraphConfig,
        backend: str,
        folder: Path | None,
    ) -> None:
        super().__init__()
        self.settings, self.backend = settings, backend
        self.graph = None
        self._hidden: frozenset[str] = frozenset()
        if not settings.item_layers:
            lists = [name for name, each in features.items() if not each.values.shape[1]]
            if lists:
                raise ConfigError(
                    f"[features.{lists[0]}] holds neighbours, which nothing reads while "
                    f"model.item_layers = 0. Set it to 1, or remove the table."
                )
            return
        if not features:
            raise ConfigError(
                "model.item_layers needs item content to tell similar items. Add a "
                "[features.NAME] table or set model.item_layers = 0."
            )
        self.neighbours = {
            name: neighbours_of(each, settings.knn_k, folder) for name, each in features.items()
        }
        self.graph = self._mixed(settings.knn_weights)

    def _mixed(self, shares: Mapping[str, float] | None) -> DirectedGraph:
        shown = {name: x for name, x in self.neighbours.items() if name not in self._hidden}
        rule = Rule(edges=self.settings.knn_edges)
        return similarity_graph(shown, shares, rule=rule, backend=self.backend)

    def forward(self, nodes: Tensor) -> Tensor:
        """S^L h of ``[I, D]``; 0 where no modality is left."""
        if self.graph is None:
            return torch.zeros_like(nodes)
        for _ in range(self.settings.item_layers):
            nodes = propagate(self.graph, nodes)
        return nodes

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Mix S from the other modalities, for evaluation."""
        whole, hidden = self.graph, self._hidden
        if whole is None:
            yield
            return
        self._hidden = hidden | set(names)
        given = self.settings.knn_weights or dict.fromkeys(self.neighbours, 1.0)
        shares = {name: share for name, share in given.items() if name not in self._hidden}
        try:
            self.graph = self._mixed(shares).to(whole.values) if any(shares.values()) else None
            yield
        finally:
            self.graph, self._hidden = whole, hidden
