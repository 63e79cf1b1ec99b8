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

from graphrec.graphs.backends import BACKENDS, choose_backend, import_dgl
from graphrec.names import resolve
from graphrec.precision import single


class Context(torch.autograd.function.FunctionCtx):
    """What the gradient needs: the operator, not its inputs."""

    graph: "Graph"
    num_layers: int


class Graph(nn.Module):
    """The symmetric operator W = S A S: A the edges of an undirected graph, S a scale per node.

    The scale lies on the nodes, so kernels sum neighbours without reading edge weights. Buffers
    are not saved with the model; they follow from the training interactions.

    Shapes:
        indptr: ``[N + 1]`` and indices: ``[E]``, int32 CSR of A; scale: ``[N, 1]``.
    """

    indptr: Tensor
    indices: Tensor
    scale: Tensor

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
        if backend != "auto":
            resolve(backend, BACKENDS, "backend")
        self.backend = backend
        for name, array in (
            ("indptr", indptr.astype(np.int32)),
            ("indices", indices.astype(np.int32)),
            ("scale", scale.astype(np.float32)[:, None]),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.scale)

    def product(self, x: Tensor) -> Tensor:
        """Return ``W x``, outside of autograd and mixed precision. ``x``: ``[N, D]``."""
        return self._sum_neighbours(x * self.scale).mul_(self.scale)

    def layer_mean(self, x: Tensor, num_layers: int) -> Tensor:
        """Return ``1 / (L + 1) sum_l W^l x``, likewise.

        By Horner's rule, s <- x + W s, on t = S s, so that a layer is one sum over neighbours and
        one pass: t <- S x + S^2 A t, and at last s = x + S A t.
        """
        x = x / (num_layers + 1)
        if num_layers == 0:
            return x
        start = scaled = x * self.scale
        square = self.scale.square()
        for _ in range(num_layers - 1):
            scaled = torch.addcmul(start, self._sum_neighbours(scaled), square)
        return torch.addcmul(x, self._sum_neighbours(scaled), self.scale)

    def _sum_neighbours(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self._kernel(x)

    @cached_property
    def _kernel(self) -> Callable[[Tensor], Tensor]:
        """``[N, D] -> A x`` of the chosen backend."""
        backend = choose_backend(self.backend, self.scale.device)
        return {"torch": self._torch, "pyg": self._pyg, "dgl": self._dgl}[backend]()

    def __getstate__(self) -> dict[str, object]:
        """A copy builds its kernel anew: sparse tensors cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name != "_kernel"}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Graph":
        self.__dict__.pop("_kernel", None)  # built for the old device or precision
        super()._apply(fn, recurse)
        return self

    def _torch(self) -> Callable[[Tensor], Tensor]:
        ones = torch.ones(len(self.indices), dtype=self.scale.dtype, device=self.scale.device)
        shape = (self.num_nodes, self.num_nodes)
        with warnings.catch_warnings():  # torch announces once that CSR support is in beta
            warnings.simplefilter("ignore", UserWarning)
            matrix = torch.sparse_csr_tensor(
                self.indptr, self.indices, ones, shape, check_invariants=False
            )
        return lambda x: matrix @ x

    def _pyg(self) -> Callable[[Tensor], Tensor]:
        from torch_geometric.nn import SimpleConv

        targets = torch.repeat_interleave(
            torch.arange(self.num_nodes, device=self.indptr.device), self.indptr.diff().long()
        )
        edges = torch.stack([self.indices.long(), targets])
        layer = SimpleConv(aggr="sum")
        return lambda x: layer(x, edges)

    def _dgl(self) -> Callable[[Tensor], Tensor]:
        dgl = import_dgl()
        empty = torch.empty(0, dtype=self.indptr.dtype, device=self.indptr.device)
        csc = ("csc", (self.indptr, self.indices, empty))
        graph = dgl.graph(csc, num_nodes=self.num_nodes).int()
        return lambda x: dgl.ops.copy_u_sum(graph, x)


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
    """``1 / (L + 1) sum_l W^l x``; gradient: the same sum applied to g."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, graph: Graph, num_layers: int) -> Tensor:
        ctx.graph, ctx.num_layers = graph, num_layers
        return graph.layer_mean(x, num_layers)

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
