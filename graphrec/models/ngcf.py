"""NGCF: propagation with learned transforms and an interaction term."""

from pydantic import NonNegativeInt
from torch import Tensor

from graphrec.core.config import Fraction
from graphrec.core.ranges import SearchRange
from graphrec.graphs import bipartite_graph
from graphrec.models.base import Batch, EmbeddingModel, Inputs, embedding_table
from graphrec.models.config import EmbeddingConfig
from graphrec.nn.losses import Chosen
from graphrec.nn.ngcf import NGCFLayers


class NGCFConfig(EmbeddingConfig):
    """Settings of NGCF."""

    num_layers: NonNegativeInt = 3
    """Layers L of message passing."""
    dropout: Fraction = 0.1
    """Share of message entries dropped in training."""


class NGCF(EmbeddingModel):
    """E_l = LeakyReLU((A_hat + I) E_{l-1} W1 + (A_hat E_{l-1}) * E_{l-1} W2); all layers joined.

    Source: wang2019ngcf, Eq. 7-11; code xiangwang1223/neural_graph_collaborative_filtering.

    Deviations: the operator and the activation are those of the paper, A_hat symmetric and one
    activation over the sum of both terms. The reference code puts S = (D + I)^-1 (A + I) in the
    place of both A_hat + I and A_hat, and activates each term. No nodes are dropped (a setting of
    the reference code). Tables are Normal(0, init_std) and biases start at 0, where the reference
    code has Xavier. By default an epoch passes once over all training pairs; the reference code
    draws different users for each batch, all equally likely, and one item of each, to which
    ``training.sampling = "users"`` comes close (a user may stand in a batch twice).

    The reference code penalises the final rows of the batch, all layers joined. The layers after
    the first have length 1, so that this adds the constant ``reg`` (2 + n) L / 2, for n negatives,
    to the penalty of the layer-0 rows, and the gradient is the same: one value of ``reg`` serves
    both.
    """

    family = "graph"
    reference = "wang2019ngcf"
    Config = NGCFConfig
    search = {
        **EmbeddingModel.search,
        "model.num_layers": SearchRange(low=1, high=4),
        "model.dropout": SearchRange(low=0.0, high=0.5),
    }

    def __init__(self, config: NGCFConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.nodes = embedding_table(self.num_users + self.num_items, config, inputs.rng)
        self.layers = NGCFLayers(config.dim, config.num_layers, config.dropout, inputs.rng)
        self.graph = bipartite_graph(inputs.train, inputs.backend)

    def embed(self) -> tuple[Tensor, Tensor]:
        """All layers joined, ``[U, D (L + 1)]`` and ``[I, D (L + 1)]``."""
        nodes = self.layers(self.graph, self.nodes)  # Eq. 7, 9
        return self.split_nodes(nodes)

    def penalised(self, batch: Batch) -> list[Chosen]:
        """Layer-0 rows of the batch."""
        return [Chosen(self.nodes, batch.nodes(self.num_users))]
