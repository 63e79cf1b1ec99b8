"""Build sparse operators from interactions and features, and pass messages along them."""

from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.edge_drop import EdgeDrop, EdgeDropKind
from graphrec.graphs.neighbour_cache import cached_neighbours, neighbours_key, neighbours_of
from graphrec.graphs.propagation import DirectedGraph, Graph, layer_mean, propagate
from graphrec.graphs.similarity import Rule, nearest_items, similarity_graph

__all__ = [
    "DirectedGraph",
    "EdgeDrop",
    "EdgeDropKind",
    "Graph",
    "Rule",
    "bipartite_graph",
    "cached_neighbours",
    "layer_mean",
    "nearest_items",
    "neighbours_key",
    "neighbours_of",
    "propagate",
    "similarity_graph",
]
