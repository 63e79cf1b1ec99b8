"""Build the symmetrically normalised user-item graph."""

import numpy as np
import scipy.sparse as sp

from graphrec.data import Interactions
from graphrec.graphs.propagation import Graph


def bipartite_graph(train: Interactions, backend: str = "auto") -> Graph:
    """Return A_hat = D^-1/2 A D^-1/2 with A = [[0, R], [R^T, 0]] over N = U + I nodes.

    Users are nodes 0..U-1, items U..N-1. Nodes without edges get a zero row, not a division by
    zero. Source: he2020lightgcn, Eq. 8.

    Shapes:
        graph: ``[N, N]``, 2 E entries.
    """
    interactions = train.matrix
    adjacency = sp.block_array([[None, interactions], [interactions.T, None]], format="csr")
    adjacency.sort_indices()
    degrees = np.diff(adjacency.indptr).astype(np.float64)
    scale = np.zeros_like(degrees)
    np.power(degrees, -0.5, out=scale, where=degrees > 0)
    return Graph(adjacency.indptr, adjacency.indices, scale=scale, backend=backend)
