"""Graphs and content of which a part is left out in training, and drawn anew."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.datasets.interactions import Interactions
from graphrec.errors import ConfigError
from graphrec.graphs.bipartite import bipartite_graph
from graphrec.graphs.propagation import Graph

EdgeDropKind = Literal["uniform", "degree"]


class EdgeDrop:
    """Draws user-item graphs that lack a share of the edges.

    Of E edges, ``E - round(share E)`` are kept. They are sampled one after the other without
    replacement, edge (u, i) with a probability proportional to p_ui among those that are left:
    p_ui = 1 if the kind is uniform, ``1 / (sqrt(d_u) sqrt(d_i))`` if it is degree, d the number
    of edges of a node in the whole graph. The kept graph is normalised by its own degrees.

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
        users, items = train.matrix.nonzero()  # each pair once
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
        """``1 / p_ui``, ``[E]``."""

    def sample(self, rng: torch.Generator) -> Tensor:
        """Numbers of the kept edges, ascending, on the device of ``rng``."""
        keys = torch.empty(len(self.inverse), device=rng.device).exponential_(generator=rng)
        keys *= self.inverse.to(rng.device)
        kept = keys.topk(self.num_kept, largest=False, sorted=False).indices
        return kept.sort().values

    def draw(self, rng: torch.Generator) -> Graph:
        """Return a graph of kept edges over all nodes."""
        kept = self.edges.select(self.sample(rng).cpu().numpy())
        return bipartite_graph(kept, self.backend).to(rng.device)


class Projection(nn.Module):
    """``W f + b``; in training ``W (f * c / (1 - share)) + b``, with the same c for all rows.

    c in {0, 1}^F drops each column with probability ``share`` and is drawn by ``draw``; before
    that nothing is dropped. What is kept is scaled up: the expected value of a masked row is the
    row.

    Shapes:
        rows: ``[I, F]``; result: ``[I, D]``.

    Source: attribute masking of you2020graphcl, for all nodes at once as in zhu2020grace.
    Deviations: neither scales what is kept.
    """

    kept: Tensor

    def __init__(self, width: int, dim: int, share: float, rng: torch.Generator) -> None:
        super().__init__()
        self.share = share
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, width), generator=rng))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("kept", torch.ones(width), persistent=False)

    def draw(self, rng: torch.Generator) -> None:
        """Choose the columns anew."""
        draws = torch.rand(self.kept.shape, generator=rng, device=rng.device)
        self.kept.copy_((draws >= self.share) / (1 - self.share))

    def forward(self, rows: Tensor) -> Tensor:
        """Project."""
        # Masking W costs F D where masking the rows would cost I F.
        weight = self.weight * self.kept if self.training and self.share else self.weight
        return functional.linear(rows, weight, self.bias)


def modality_mask(present: Tensor, share: float) -> Tensor:
    """Drop each present modality with probability ``share``, but never all of an item's.

    Where all would go, one of them stays, each with the same probability. Draws from the global
    generator, as dropout does.

    Shapes:
        present and result: ``[I, M]`` bool.

    Source: neverova2016moddrop. Deviations: one modality always stays.
    """
    draws = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
    best = draws == draws.amax(dim=1, keepdim=True)  # falls below the share if all others do
    return present & ((draws >= share) | best)
