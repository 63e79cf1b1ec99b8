"""Interactions and features -> sparse operators that pass messages along a graph."""

from graphrec.graphs.attention import GATLayers
from graphrec.graphs.augment import EdgeDrop, EdgeDropKind, Projection, modality_mask
from graphrec.graphs.backbones import NGCFLayers, learned_layers
from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.neighbour_files import (
    cached_neighbours,
    neighbours_key,
    neighbours_of,
    read_neighbours,
)
from graphrec.graphs.propagation import DirectedGraph, Graph, layer_mean, propagate
from graphrec.graphs.similarity import Neighbours, Rule, nearest_items, similarity_graph

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
