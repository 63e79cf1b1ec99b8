"""The PyG backend: gather, weigh, scatter. Slower than a sparse product, and easy to change."""

from torch import Tensor
from torch_geometric.nn import MessagePassing


class WeightedSum(MessagePassing):  # type: ignore[misc]
    """x_i' = sum_j w_ij x_j."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum over incoming edges. ``edges``: ``[2, E]`` (source, target)."""
        result: Tensor = self.propagate(edges, x=x, weights=weights, size=(len(x), len(x)))
        return result

    def message(self, x_j: Tensor, weights: Tensor) -> Tensor:
        """Weigh the source vectors of the edges, ``[E, D]``."""
        return weights.unsqueeze(1) * x_j
