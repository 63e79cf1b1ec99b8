"""Choose the layers of the interaction graph."""

import torch
from torch import nn

from graphrec.models.modality_attention_gcn.config import GraphConfig
from graphrec.nn.gat import GATLayers
from graphrec.nn.ngcf import NGCFLayers


def learned_layers(config: GraphConfig, dim: int, rng: torch.Generator) -> nn.Module:
    """Return the layers of a backbone that learns, gat or ngcf."""
    if config.backbone == "gat":
        return GATLayers(dim, config.num_layers, config.heads, rng)
    return NGCFLayers(dim, config.num_layers, config.dropout, rng)
