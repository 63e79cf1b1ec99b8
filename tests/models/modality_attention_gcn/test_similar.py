"""The graph of similar items inside a model has the edges that its settings name."""

import numpy as np
import pytest
import torch

from graphrec.data import Modality
from graphrec.graphs import Rule, nearest_items, similarity_graph
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.similar import SimilarItems


@pytest.fixture
def features() -> dict[str, Modality]:
    values = np.random.default_rng(3).normal(size=(9, 4)).astype(np.float32)
    return {"text": Modality(values, np.arange(9) != 5)}


@pytest.mark.parametrize("edges", ["binary", "cosine"])
def test_knn_edges_weigh_the_neighbours(features: dict[str, Modality], edges: str) -> None:
    """``knn_edges`` was once read by no test: its graph is that of the rule, and of no other."""
    config = ModalityAttentionGCNConfig.model_validate(
        {"name": "modality_attention_gcn", "item_layers": 1, "knn_k": 3, "knn_edges": edges}
    )
    graph = SimilarItems(features, config, "torch", None).graph
    lists = {"text": nearest_items(features["text"].values, features["text"].present, 3)}
    made = {
        name: similarity_graph(lists, rule=Rule(edges=name), backend="torch")
        for name in ("binary", "cosine")
    }
    assert graph is not None
    assert torch.equal(graph.product(torch.eye(9)), made[edges].product(torch.eye(9)))
    assert not torch.equal(made["binary"].values, made["cosine"].values)
