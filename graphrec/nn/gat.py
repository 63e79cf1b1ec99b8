"""Pass messages by graph attention: both ends of an edge decide its weight."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.precision import single
from graphrec.graphs import Graph
from graphrec.graphs.propagation import csr

SLOPE = 0.2
"""Slope of the LeakyReLU for negative values; Section 2.1 of the paper."""


class GATLayers(nn.Module):
    """L layers of graph attention, averaged with the input as LightGCN averages its layers.

    With N(v) the neighbours of v, to which v itself is added, and z_v = W h_v::

        e_vu = LeakyReLU(a . [z_v || z_u]),  alpha_vu = exp(e_vu) / sum over w in N(v) of exp(e_vw)
        h'_v = ELU(sum over u in N(v) of alpha_vu z_u),  result = (h^0 + ... + h^L) / (L + 1)

    Each of the H heads has its own rows of W and its own vector a; their outputs of D / H entries
    are concatenated. A node without edges attends to itself. Attention alone weighs the edges: the
    scale of the graph is not used. Memory is O(H E + L N D).

    Shapes:
        x and result: ``[N, D]``; a: ``[H, 2 D / H]`` in two halves.

    Source: velickovic2018gat, Eq. 1-5 with the slope and the ELU of Sections 2.1 and 3.3.
    Deviations: every layer has D outputs and an ELU, so that layers can be averaged. The heads of
    the last layer are concatenated, too, where the paper averages them; no dropout inside the
    layers.
    """

    def __init__(
        self, dim: int, num_layers: int, num_heads: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        # skip_init: a plain Linear would first draw from the global generator.
        self.transforms = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, dim, dim, bias=False) for _ in range(num_layers)
        )
        shape = (num_heads, dim // num_heads)
        self.targets = nn.ParameterList(torch.empty(shape) for _ in range(num_layers))
        self.sources = nn.ParameterList(torch.empty(shape) for _ in range(num_layers))
        for weights in self.parameters():
            nn.init.xavier_uniform_(weights, generator=generator)

    def forward(self, graph: Graph, x: Tensor) -> Tensor:
        """Return the mean over x and every layer."""
        edges = Edges(graph)
        total = x
        for layer in zip(self.transforms, self.targets, self.sources, strict=True):
            x = functional.elu(self._attend(edges, x, *layer))
            total = total + x
        return total / (len(self.transforms) + 1)

    def _attend(
        self, edges: "Edges", x: Tensor, transform: nn.Module, target: Tensor, source: Tensor
    ) -> Tensor:
        values = single(transform(x)).unflatten(1, (self.num_heads, -1))
        with torch.autocast(x.device.type, enabled=False):
            receiving, sending = (values * target).sum(dim=2), (values * source).sum(dim=2)
            loop = functional.leaky_relu(receiving + sending, SLOPE)
            incoming = receiving.index_select(0, edges.targets)
            incoming = incoming + sending.index_select(0, edges.sources)
            incoming = functional.leaky_relu(incoming, SLOPE)
            # The softmax does not depend on the subtracted value, so the value has no gradient.
            peak = torch.maximum(loop, edges.maximum(incoming)).detach()
            loop = (loop - peak).exp()
            incoming = (incoming - peak.index_select(0, edges.targets)).exp()
            mass = loop.index_add(0, edges.targets, incoming)
            alpha = incoming / mass.index_select(0, edges.targets)
            messages = [
                edges.weighted_sum(alpha[:, head], values[:, head])
                for head in range(self.num_heads)
            ]
            mixed = torch.stack(messages, dim=1) + (loop / mass).unsqueeze(2) * values
        return mixed.flatten(1)


class Edges:
    """The 2 E directed edges of an undirected graph, in CSR order.

    Shapes:
        targets, sources: ``[2 E]``, the receiving and the sending node of each message.
    """

    def __init__(self, graph: Graph) -> None:
        self.indptr, self.indices = graph.indptr, graph.indices
        self.lengths = graph.indptr.diff().long()
        nodes = torch.arange(graph.num_nodes, device=self.indptr.device)
        self.targets = torch.repeat_interleave(nodes, self.lengths)
        self.sources = self.indices.long()
        self.opposite = self.indices.argsort(stable=True)
        """Position of the edge (u, v) for the edge (v, u): the graph is its own transpose."""

    def maximum(self, x: Tensor) -> Tensor:
        """Return the largest of values ``[2 E, H]`` at each target, ``[N, H]``; -inf if none."""
        return torch.segment_reduce(x.detach(), "max", lengths=self.lengths, unsafe=True)

    def weighted_sum(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return ``sum over u of w_vu x_u``, ``[N, D]``, differentiable in both arguments."""
        # Sparse kernels read the weights one after the other.
        result: Tensor = _WeightedSum.apply(weights.contiguous(), x, self)
        return result

    def matrix(self, weights: Tensor) -> Tensor:
        """Return the sparse matrix with these weights."""
        return csr(self.indptr, self.indices, weights)


class _Context(torch.autograd.function.FunctionCtx):
    edges: Edges
    saved_tensors: tuple[Tensor, Tensor]


class _WeightedSum(torch.autograd.Function):
    """The product ``A x`` with A the matrix of w; gradients ``A^T g`` and ``g_v . x_u`` per edge.

    No message of D numbers is stored per edge.
    """

    @staticmethod
    def forward(ctx: _Context, weights: Tensor, x: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(weights, x)
        ctx.edges = edges
        return edges.matrix(weights) @ x

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, x = ctx.saved_tensors
        edges = ctx.edges
        nothing = edges.matrix(torch.zeros_like(weights))
        sampled = torch.sparse.sampled_addmm(nothing, gradient, x.T, beta=0.0)
        transposed = edges.matrix(weights.index_select(0, edges.opposite))
        return sampled.values(), transposed @ gradient, None
