"""Message passing with a sparse operator, and its hand-written gradient.

The gradient of ``W x`` is ``W^T g``, and the gradient of the mean over layers is the same mean
with ``W^T``, applied to the incoming gradient: nothing has to be stored between the forward and
the backward pass. A symmetric operator is its own transpose; any other keeps it beside itself.
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from graphrec.graphs.backends import choose_backend, import_dgl
from graphrec.precision import single

if TYPE_CHECKING:
    from dgl import DGLGraph

BUILT = ("_matrix", "_kernel")
"""Properties of a graph that follow from its buffers."""


class SparseProduct(nn.Module):
    """``x -> W x`` for a square sparse W, int32 CSR, without a gradient.

    Buffers are not saved with the model; they follow from interactions or features.

    Shapes:
        indptr: ``[N + 1]``; indices, values: ``[E]``.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor

    def __init__(
        self,
        indptr: npt.NDArray[np.integer],
        indices: npt.NDArray[np.integer],
        values: npt.NDArray[np.float64],
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if len(indices) > np.iinfo(np.int32).max:
            raise ValueError(f"{len(indices)} edges do not fit 32-bit offsets")
        self.backend = choose_backend(backend)
        for name, array in (
            ("indptr", np.asarray(indptr, dtype=np.int32)),
            ("indices", np.asarray(indices, dtype=np.int32)),
            ("values", values.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.indptr) - 1

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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SparseProduct":
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
        dgl, graph = self._dgl_graph()
        weights = self.values.unsqueeze(1)
        return lambda x: dgl.ops.u_mul_e_sum(graph, x, weights)

    def _dgl_graph(self) -> "tuple[ModuleType, DGLGraph]":
        """DGL, and the pattern of W as incoming edges in the order of the values."""
        dgl = import_dgl()
        empty = torch.empty(0, dtype=self.indptr.dtype, device=self.indptr.device)
        layout = ("csc", (self.indptr, self.indices, empty))
        return dgl, dgl.graph(layout, num_nodes=self.num_nodes).int()


class Graph(SparseProduct):
    """A symmetric operator W[i, j] = s_i s_j on the edges of an undirected graph.

    The scale lies on the nodes, not on the edges: a kernel without edge weights reads half the
    memory.

    Shapes:
        indptr: ``[N + 1]``; indices: ``[E]``; scale: ``[N]``.
    """

    scale: Tensor

    def __init__(
        self,
        indptr: npt.NDArray[np.integer],
        indices: npt.NDArray[np.integer],
        *,
        scale: npt.NDArray[np.float64],
        backend: str = "auto",
    ) -> None:
        rows = np.repeat(np.arange(len(scale)), np.diff(indptr))
        super().__init__(indptr, indices, scale[rows] * scale[indices], backend)
        buffer = torch.from_numpy(scale.astype(np.float32))
        self.register_buffer("scale", buffer, persistent=False)

    @property
    def transposed(self) -> SparseProduct:
        """W^T = W."""
        return self

    def _dgl(self) -> Callable[[Tensor], Tensor]:
        dgl, graph = self._dgl_graph()
        scale = self.scale.unsqueeze(1)
        return lambda x: dgl.ops.copy_u_sum(graph, x * scale) * scale


class DirectedGraph(SparseProduct):
    """Any square sparse operator; W[i, j] weighs the message from j to i.

    Shapes:
        matrix: ``[N, N]``, E entries.
    """

    transposed: SparseProduct

    def __init__(self, matrix: sp.csr_array, backend: str = "auto") -> None:
        reverse = matrix.T.tocsr()
        super().__init__(matrix.indptr, matrix.indices, matrix.data, backend)
        self.transposed = SparseProduct(reverse.indptr, reverse.indices, reverse.data, backend)


class Context(torch.autograd.function.FunctionCtx):
    """What the gradient needs: the operator and its transpose, not its inputs."""

    product: SparseProduct
    transposed: SparseProduct
    num_layers: int


class _Propagate(torch.autograd.Function):
    """``W x``; gradient ``W^T g``."""

    @staticmethod
    def forward(
        ctx: Context, x: Tensor, product: SparseProduct, transposed: SparseProduct
    ) -> Tensor:
        ctx.product, ctx.transposed = product, transposed
        return product.product(x)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Propagate.apply(gradient, ctx.transposed, ctx.product), None, None


class _LayerMean(torch.autograd.Function):
    """``1 / (L + 1) sum_l W^l x``; gradient: the same sum of W^T, applied to g.

    By Horner's rule, s <- x + W s, so that no layer is kept beside the sum.
    """

    @staticmethod
    def forward(
        ctx: Context, x: Tensor, product: SparseProduct, transposed: SparseProduct, num_layers: int
    ) -> Tensor:
        ctx.product, ctx.transposed, ctx.num_layers = product, transposed, num_layers
        total = x
        for depth in range(1, num_layers + 1):
            weight = 1 / (num_layers + 1) if depth == num_layers else 1.0
            total = product.add_product(x, total, weight)
        return total if num_layers else x.clone()

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        result = _LayerMean.apply(gradient, ctx.transposed, ctx.product, ctx.num_layers)
        return result, None, None, None


def propagate(graph: Graph | DirectedGraph, x: Tensor) -> Tensor:
    """One layer of message passing, ``W x``. ``x``: ``[N, D]``."""
    result: Tensor = _Propagate.apply(single(x), graph, graph.transposed)
    return result


def layer_mean(graph: Graph | DirectedGraph, x: Tensor, num_layers: int) -> Tensor:
    """LightGCN's combination: the mean of ``x, W x, ..., W^L x``.

    Shapes:
        x and result: ``[N, D]``.

    Source: he2020lightgcn, Eq. 7-9 with alpha_k = 1 / (L + 1).
    """
    result: Tensor = _LayerMean.apply(single(x), graph, graph.transposed, num_layers)
    return result
