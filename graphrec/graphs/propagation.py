"""Pass messages with a sparse operator, with a hand-written gradient.

The gradient of ``W x`` is ``W^T g``, and the gradient of the mean over layers is the same mean
with ``W^T``, applied to the incoming gradient. So nothing is stored between the forward and the
backward pass. A symmetric operator is its own transpose; any other stores its transpose.
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from graphrec.core.backends import BACKENDS, choose_backend, import_dgl
from graphrec.core.names import resolve
from graphrec.core.precision import single


def csr(indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """Return the square sparse tensor of a CSR triple, which is not validated."""
    shape = (len(indptr) - 1, len(indptr) - 1)
    with warnings.catch_warnings():  # torch announces once that CSR support is in beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(indptr, indices, values, shape, check_invariants=False)


class SparseOperator(nn.Module):
    """``x -> A x`` for a square sparse A, int32 CSR, by the kernel of a backend; no gradient.

    Buffers are not saved with the model, because they follow from interactions or features.
    Shapes:
        indptr: ``[N + 1]``; indices: ``[E]``; values: ``[E]``, or ``[]`` where all are 1.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor

    def __init__(
        self,
        indptr: npt.NDArray[np.integer],
        indices: npt.NDArray[np.integer],
        values: npt.NDArray[np.floating] | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if len(indices) > np.iinfo(np.int32).max:
            raise ValueError(f"{len(indices)} edges do not fit 32-bit offsets")
        if backend != "auto":
            resolve(backend, BACKENDS, "backend")
        self.backend = backend
        for name, array in (
            ("indptr", indptr.astype(np.int32)),
            ("indices", indices.astype(np.int32)),
            ("values", np.empty(0, np.float32) if values is None else values.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @property
    def num_nodes(self) -> int:
        """Return the number N of nodes."""
        return len(self.indptr) - 1

    def product(self, x: Tensor) -> Tensor:
        """Return ``A x``, without autograd and mixed precision. ``x``: ``[N, D]``."""
        with torch.autocast(x.device.type, enabled=False):
            return self._kernel(x)

    def layer_mean(self, x: Tensor, num_layers: int) -> Tensor:
        """Return ``1 / (L + 1) sum_l A^l x`` by Horner's rule, s <- x + A s, without autograd."""
        x = x / (num_layers + 1)
        total = x
        for _ in range(num_layers):
            total = self.product(total).add_(x)
        return total

    @cached_property
    def _kernel(self) -> Callable[[Tensor], Tensor]:
        backend = choose_backend(self.backend, self.indptr.device)
        return {"torch": self._torch, "pyg": self._pyg, "dgl": self._dgl}[backend]()

    def __getstate__(self) -> dict[str, object]:
        """Leave the kernel out of a copy, which builds its own: sparse tensors cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name != "_kernel"}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.__dict__.pop("_kernel", None)  # it was built for the old device or precision
        super()._apply(fn, recurse)
        return self

    def _torch(self) -> Callable[[Tensor], Tensor]:
        ones = torch.ones_like(self.indices, dtype=self.values.dtype)
        matrix = csr(self.indptr, self.indices, self.values if len(self.values) else ones)
        return lambda x: matrix @ x

    def _pyg(self) -> Callable[[Tensor], Tensor]:
        from torch_geometric.nn import SimpleConv

        targets = torch.repeat_interleave(
            torch.arange(self.num_nodes, device=self.indptr.device), self.indptr.diff().long()
        )
        edges = torch.stack([self.indices.long(), targets])
        layer = SimpleConv(aggr="sum")
        values = self.values if len(self.values) else None
        return lambda x: layer(x, edges, values)

    def _dgl(self) -> Callable[[Tensor], Tensor]:
        dgl = import_dgl()
        empty = torch.empty(0, dtype=self.indptr.dtype, device=self.indptr.device)
        csc = ("csc", (self.indptr, self.indices, empty))
        graph = dgl.graph(csc, num_nodes=self.num_nodes).int()
        if not len(self.values):
            return lambda x: dgl.ops.copy_u_sum(graph, x)
        values = self.values.unsqueeze(1)
        return lambda x: dgl.ops.u_mul_e_sum(graph, x, values)


class Graph(SparseOperator):
    """The symmetric operator W = S A S: A holds undirected edges, S is a scale for each node.

    Because the scale belongs to the nodes, kernels sum neighbours without reading edge weights.
    Shapes:
        indptr: ``[N + 1]`` and indices: ``[E]``, CSR of A; scale: ``[N, 1]``.
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
        super().__init__(indptr, indices, backend=backend)
        buffer = torch.from_numpy(scale.astype(np.float32)).unsqueeze(1)
        self.register_buffer("scale", buffer, persistent=False)

    @property
    def transposed(self) -> "Graph":
        """Return W^T, which is W itself."""
        return self

    def product(self, x: Tensor) -> Tensor:
        """Return ``W x``, without autograd and mixed precision. ``x``: ``[N, D]``."""
        return super().product(x * self.scale).mul_(self.scale)

    def layer_mean(self, x: Tensor, num_layers: int) -> Tensor:
        """Return ``1 / (L + 1) sum_l W^l x``, without autograd and mixed precision.

        Horner's rule, s <- x + W s, is applied to t = S s, so that a layer is one sum over
        neighbours and one pass: t <- S x + S^2 A t, and at last s = x + S A t.
        """
        x = x / (num_layers + 1)
        if num_layers == 0:
            return x
        start = scaled = x * self.scale
        square = self.scale.square()
        for _ in range(num_layers - 1):
            scaled = torch.addcmul(start, super().product(scaled), square)
        return torch.addcmul(x, super().product(scaled), self.scale)


class DirectedGraph(SparseOperator):
    """A square sparse operator that need not be symmetric; W[i, j] weighs the message j to i.

    Shapes:
        matrix: ``[N, N]``, E entries.
    """

    transposed: SparseOperator

    def __init__(self, matrix: sp.csr_array, backend: str = "auto") -> None:
        super().__init__(matrix.indptr, matrix.indices, matrix.data, backend)
        reverse = matrix.T.tocsr()
        self.transposed = SparseOperator(reverse.indptr, reverse.indices, reverse.data, backend)


class Context(torch.autograd.function.FunctionCtx):
    """Context of the gradient: the operator and its transpose, not their inputs."""

    operator: SparseOperator
    transposed: SparseOperator
    num_layers: int


class _Propagate(torch.autograd.Function):
    """The product ``W x``; its gradient is ``W^T g``."""

    @staticmethod
    def forward(
        ctx: Context, x: Tensor, operator: SparseOperator, transposed: SparseOperator
    ) -> Tensor:
        ctx.operator, ctx.transposed = operator, transposed
        return operator.product(x)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Propagate.apply(gradient, ctx.transposed, ctx.operator), None, None


class _LayerMean(torch.autograd.Function):
    """The mean ``1 / (L + 1) sum_l W^l x``; its gradient is the same mean of W^T, applied to g."""

    @staticmethod
    def forward(
        ctx: Context,
        x: Tensor,
        operator: SparseOperator,
        transposed: SparseOperator,
        num_layers: int,
    ) -> Tensor:
        ctx.operator, ctx.transposed, ctx.num_layers = operator, transposed, num_layers
        return operator.layer_mean(x, num_layers)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        result = _LayerMean.apply(gradient, ctx.transposed, ctx.operator, ctx.num_layers)
        return result, None, None, None


def propagate(graph: Graph | DirectedGraph, x: Tensor) -> Tensor:
    """Apply one layer of message passing, ``W x``. ``x``: ``[N, D]``."""
    result: Tensor = _Propagate.apply(single(x), graph, graph.transposed)
    return result


def layer_mean(graph: Graph | DirectedGraph, x: Tensor, num_layers: int) -> Tensor:
    """Combine the layers as LightGCN does: return the mean of ``x, W x, ..., W^L x``.

    Shapes:
        x and result: ``[N, D]``.

    Source: he2020lightgcn, Eq. 7-9 with alpha_k = 1 / (L + 1).
    """
    result: Tensor = _LayerMean.apply(single(x), graph, graph.transposed, num_layers)
    return result
