"""Message passing with a symmetric sparse operator, and its hand-written gradient.

The operator is its own transpose, so the gradient of ``A x`` is ``A g``, and the gradient of the
mean over layers is the same mean applied to the incoming gradient: nothing has to be stored
between the forward and the backward pass.
"""

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graphrec.graphs.backends import choose_backend, import_dgl
from graphrec.precision import single

BUILT = ("_matrix", "_kernel")
"""Properties of a graph that follow from its buffers."""


class Context(torch.autograd.function.FunctionCtx):
    """What the gradient needs: the operator, not its inputs."""

    graph: "Graph"
    num_layers: int


class Graph(nn.Module):
    """A symmetric operator W[i, j] = s_i s_j on the edges of an undirected graph, int32 CSR.

    The scale lies on the nodes, not on the edges: a kernel without edge weights reads half the
    memory. Buffers are not saved with the model; they follow from the training interactions.

    Shapes:
        indptr: ``[N + 1]``; indices: ``[E]``; scale: ``[N]``.
    """

    indptr: Tensor
    indices: Tensor
    scale: Tensor
    values: Tensor

    def __init__(
        self,
        indptr: npt.NDArray[np.integer],
        indices: npt.NDArray[np.integer],
        *,
        scale: npt.NDArray[np.float64],
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if len(indices) > np.iinfo(np.int32).max:
            raise ValueError(f"{len(indices)} edges do not fit 32-bit offsets")
        self.backend = choose_backend(backend)
        rows = np.repeat(np.arange(len(scale)), np.diff(indptr))
        values = scale[rows] * scale[indices]
        for name, array in (
            ("indptr", np.asarray(indptr, dtype=np.int32)),
            ("indices", np.asarray(indices, dtype=np.int32)),
            ("scale", scale.astype(np.float32)),
            ("values", values.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.scale)

    def product(self, x: Tensor) -> Tensor:
        """Return ``W x``, outside of autograd and mixed precision. ``x``: ``[N, D]``."""
        with torch.autocast(x.device.type, enabled=False):
            return self._matrix @ x if self.backend == "torch" else self._kernel(x)

    def add_product(self, x: Tensor, y: Tensor, weight: float) -> Tensor:
        """Return ``weight (x + W y)``; one pass over memory with the torch backend."""
        if self.backend != "torch":
            return self.product(y).add_(x).mul_(weight)
        with torch.autocast(x.device.type, enabled=False):
            return torch.addmm(x, self._matrix, y, beta=weight, alpha=weight)

    @cached_property
    def _matrix(self) -> Tensor:
        shape = (self.num_nodes, self.num_nodes)
        with warnings.catch_warnings():  # torch announces once that CSR support is in beta
            warnings.simplefilter("ignore", UserWarning)
            return torch.sparse_csr_tensor(
                self.indptr, self.indices, self.values, shape, check_invariants=False
            )

    @cached_property
    def _kernel(self) -> Callable[[Tensor], Tensor]:
        return self._pyg() if self.backend == "pyg" else self._dgl()

    def __getstate__(self) -> dict[str, object]:
        """A copy builds its kernels anew: sparse tensors cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name not in BUILT}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Graph":
        for name in BUILT:  # for the old device or precision
            self.__dict__.pop(name, None)
        super()._apply(fn, recurse)
        return self

    def _pyg(self) -> Callable[[Tensor], Tensor]:
        from graphrec.graphs.pyg import WeightedSum

        targets = torch.repeat_interleave(
            torch.arange(self.num_nodes, device=self.indptr.device), self.indptr.diff().long()
        )
        edges = torch.stack([self.indices.long(), targets])
        layer = WeightedSum()
        return lambda x: layer(x, edges, self.values)

    def _dgl(self) -> Callable[[Tensor], Tensor]:
        dgl = import_dgl()
        empty = torch.empty(0, dtype=self.indptr.dtype, device=self.indptr.device)
        graph = dgl.graph(
            ("csc", (self.indptr, self.indices, empty)), num_nodes=self.num_nodes
        ).int()
        scale = self.scale.unsqueeze(1)
        return lambda x: dgl.ops.copy_u_sum(graph, x * scale) * scale


class _Propagate(torch.autograd.Function):
    """``W x``; gradient ``W g``."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        return graph.product(x)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None]:
        return _Propagate.apply(gradient, ctx.graph), None


class _LayerMean(torch.autograd.Function):
    """``1 / (L + 1) sum_l W^l x``; gradient: the same sum applied to g.

    By Horner's rule, s <- x + W s, so that no layer is kept beside the sum.
    """

    @staticmethod
    def forward(ctx: Context, x: Tensor, graph: Graph, num_layers: int) -> Tensor:
        ctx.graph, ctx.num_layers = graph, num_layers
        total = x
        for depth in range(1, num_layers + 1):
            weight = 1 / (num_layers + 1) if depth == num_layers else 1.0
            total = graph.add_product(x, total, weight)
        return total if num_layers else x.clone()

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _LayerMean.apply(gradient, ctx.graph, ctx.num_layers), None, None


def propagate(graph: Graph, x: Tensor) -> Tensor:
    """One layer of message passing, ``W x``. ``x``: ``[N, D]``."""
    result: Tensor = _Propagate.apply(single(x), graph)
    return result


def layer_mean(graph: Graph, x: Tensor, num_layers: int) -> Tensor:
    """LightGCN's combination: the mean of ``x, W x, ..., W^L x``.

    Shapes:
        x and result: ``[N, D]``.

    Source: he2020lightgcn, Eq. 7-9 with alpha_k = 1 / (L + 1).
    """
    result: Tensor = _LayerMean.apply(single(x), graph, num_layers)
    return result
