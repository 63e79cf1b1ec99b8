"""LightGCN: propagation without weights or non-linearities."""

from pydantic import NonNegativeInt
from torch import Tensor

from graphrec.core.ranges import SearchRange
from graphrec.graphs import bipartite_graph, layer_mean
from graphrec.models.base import Batch, EmbeddingModel, Inputs, embedding_table
from graphrec.models.config import EmbeddingConfig
from graphrec.nn.losses import Chosen


class LightGCNConfig(EmbeddingConfig):
    """Settings of LightGCN."""

    num_layers: NonNegativeInt = 3
    """Layers L of message passing."""


class LightGCN(EmbeddingModel):
    """E = 1 / (L + 1) sum_{l=0..L} A_hat^l E_0; s(u, i) = e_u . e_i.

    Source: he2020lightgcn, Eq. 3-9; code gusye1234/LightGCN-PyTorch.

    Deviations: by default an epoch passes once over all training pairs, so that a user weighs as
    much as it has pairs; the reference code draws as many users with equal probability, and one
    item of each, as ``training.sampling = "users"`` does. Items are ranked by s, without the
    sigmoid of the reference code, which makes large scores equal in float32. As in the reference
    code, E_0 ~ Normal(0, 0.1), the L2 term is on the layer-0 rows of the batch, and
    alpha_k = 1 / (L + 1).
    """

    family = "graph"
    reference = "he2020lightgcn"
    Config = LightGCNConfig
    search = {**EmbeddingModel.search, "model.num_layers": SearchRange(low=1, high=4)}

    def __init__(self, config: LightGCNConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.num_layers = config.num_layers
        self.nodes = embedding_table(self.num_users + self.num_items, config, inputs.rng)
        self.graph = bipartite_graph(inputs.train, inputs.backend)

    def embed(self) -> tuple[Tensor, Tensor]:
        """Mean over layers, split into users and items."""
        nodes = layer_mean(self.graph, self.nodes, self.num_layers)  # Eq. 4, 8
        return self.split_nodes(nodes)

    def penalised(self, batch: Batch) -> list[Chosen]:
        """Layer-0 rows of the batch (Eq. 15)."""
        return [Chosen(self.nodes, batch.nodes(self.num_users))]
