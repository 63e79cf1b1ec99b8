"""Interactions -> sparse operators that pass messages between users and items."""

from graphrec.graphs.backbones import NGCFLayers
from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.propagation import Graph, layer_mean, propagate

__all__ = ["Graph", "NGCFLayers", "bipartite_graph", "layer_mean", "propagate"]
