"""Interactions and features -> sparse operators that pass messages along a graph."""

from graphrec.data.neighbours import Neighbours
from graphrec.features.tabular.neighbour_files import read_neighbours
from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.edge_drop import EdgeDrop, EdgeDropKind
from graphrec.graphs.neighbour_cache import cached_neighbours, neighbours_key, neighbours_of
from graphrec.graphs.propagation import DirectedGraph, Graph, layer_mean, propagate
from graphrec.graphs.similarity import Rule, nearest_items, similarity_graph
from graphrec.models.modality_attention_gcn.layers import learned_layers
from graphrec.nn.gat import GATLayers
from graphrec.nn.ngcf import NGCFLayers
from graphrec.nn.projection import Projection, modality_mask

__all__ = [
    "DirectedGraph",
    "EdgeDrop",
    "EdgeDropKind",
    "GATLayers",
    "Graph",
    "NGCFLayers",
    "Neighbours",
    "Projection",
    "Rule",
    "bipartite_graph",
    "cached_neighbours",
    "layer_mean",
    "learned_layers",
    "modality_mask",
    "nearest_items",
    "neighbours_key",
    "neighbours_of",
    "propagate",
    "read_neighbours",
    "similarity_graph",
]
