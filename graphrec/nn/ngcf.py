"""Pass messages by neural graph collaborative filtering."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.graphs import Graph, propagate


class NGCFLayers(nn.Module):
    """L layers of neural graph collaborative filtering, all layers concatenated.

    E_l = LeakyReLU((A_hat + I) E_{l-1} W1_l + (A_hat E_{l-1}) * E_{l-1} W2_l), then dropout on
    the messages and L2 normalisation per node. The target node is a common factor in the
    element-wise terms of its edges, so one sparse product serves both terms.

    Shapes:
        x: ``[N, D]``; result: ``[N, D (L + 1)]``.

    Source: wang2019ngcf, Eq. 7. The slope 0.2 and the normalisation are the reference code's.
    Deviations: the reference code has (D + I)^-1 (A + I) in place of both A_hat + I and A_hat,
    activates each term by itself, and starts the biases at Xavier-uniform values, not at 0.
    """

    def __init__(
        self, dim: int, num_layers: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.dropout = dropout
        # skip_init: a plain Linear would first draw from the global generator.
        self.sums = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, dim, dim) for _ in range(num_layers)
        )
        self.products = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, dim, dim) for _ in range(num_layers)
        )
        for linear in (*self.sums, *self.products):
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, graph: Graph, x: Tensor) -> Tensor:
        """Return the concatenation of x and every layer."""
        outputs = [x]
        for sum_term, product_term in zip(self.sums, self.products, strict=True):
            messages = propagate(graph, x)
            x = functional.leaky_relu(sum_term(messages + x) + product_term(messages * x), 0.2)
            x = functional.dropout(x, self.dropout, self.training)
            outputs.append(functional.normalize(x, dim=1))
        return torch.cat(outputs, dim=1)
