"""Sample user-item graphs for training that lack a share of the edges."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphrec.core.errors import ConfigError
from graphrec.data import Interactions
from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.propagation import Graph

EdgeDropKind = Literal["uniform", "degree"]


class EdgeDrop:
    """Sampler of user-item graphs that lack a share of the edges.

    Of E edges, ``E - round(share E)`` are kept. They are sampled one after the other without
    replacement, edge (u, i) with a probability proportional to p_ui among the edges that are left:
    p_ui = 1 if the kind is uniform, ``1 / (sqrt(d_u) sqrt(d_i))`` if it is degree, with d the
    number of edges of a node in the whole graph. The kept graph is normalised by its own degrees.

    The edges with the smallest of E values ``x_ui / p_ui``, x exponentially distributed, are such
    a sample, so one selection replaces the sequence.

    Source: rong2020dropedge (uniform), zhou2023freedom (degree); sampling
    efraimidis2006weighted.
    Deviations: the number of dropped edges is rounded; the code of zhou2023freedom rounds the
    number of kept ones down.

    Raises:
        ConfigError: the share is so small that it drops no edge, or so large that it keeps none.
    """

    def __init__(
        self, train: Interactions, share: float, kind: EdgeDropKind, backend: str = "auto"
    ) -> None:
        self.backend = backend
        users, items = train.matrix.nonzero()  # without repetitions
        self.edges = Interactions(
            users.astype(np.int32), items.astype(np.int32), train.num_users, train.num_items
        )
        dropped = round(share * len(users))
        self.num_kept = len(users) - dropped
        if not dropped or not self.num_kept:
            raise ConfigError(
                f"model.edge_drop = {share} drops {dropped} of {len(users)} edges. Set it to 0, or "
                f"to a share that drops some and keeps some."
            )
        degrees = np.ones(len(users))
        if kind == "degree":
            degrees = train.user_degrees[users] * train.item_degrees[items].astype(np.float64)
        self.inverse = torch.from_numpy(np.sqrt(degrees).astype(np.float32))
        """Values ``1 / p_ui``, ``[E]``."""

    def sample(self, rng: torch.Generator) -> Tensor:
        """Return the numbers of the kept edges, ascending, on the device of ``rng``."""
        keys = torch.empty(len(self.inverse), device=rng.device).exponential_(generator=rng)
        keys *= self.inverse.to(rng.device)
        kept = keys.topk(self.num_kept, largest=False, sorted=False).indices
        return kept.sort().values

    def draw(self, rng: torch.Generator) -> Graph:
        """Return a graph of sampled edges over all nodes."""
        kept = self.edges.select(self.sample(rng).cpu().numpy())
        return bipartite_graph(kept, self.backend).to(rng.device)
