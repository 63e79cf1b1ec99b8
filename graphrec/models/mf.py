"""Matrix factorisation."""

import numpy as np
import torch
from torch import Tensor

from graphrec.models.base import Batch, EmbeddingModel, Inputs, embedding_table
from graphrec.models.config import EmbeddingConfig
from graphrec.nn.losses import Chosen


class MFConfig(EmbeddingConfig):
    """Settings of MF."""

    use_weights: bool = False
    """Multiply each pair's loss by its weight (rating, quantity) over the mean weight."""


class MF(EmbeddingModel):
    """s(u, i) = p_u . q_i.

    With ``use_weights`` the ranking loss is (1 / B) sum_(u,i) (w_ui / mean w) l_ui, where w are
    the weights of the training pairs.

    Source: rendle2009bpr, Section 4.3.1 (with ``loss = "bpr"``).

    Deviations: Adam instead of plain SGD; an epoch passes once over all training pairs, where the
    paper draws triples with replacement; several negatives of a pair are averaged; ``use_weights``
    is not in the paper.
    """

    family = "factorisation"
    reference = "rendle2009bpr"
    Config = MFConfig
    pair_keys: Tensor
    weight_of_key: Tensor

    def __init__(self, config: MFConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.use_weights = config.use_weights
        self.users = embedding_table(self.num_users, config, inputs.rng)
        self.items = embedding_table(self.num_items, config, inputs.rng)

        if self.use_weights:
            weights = inputs.train.weighted_matrix.tocoo()  # ordered by user, then by item
            keys = weights.row.astype(np.int64) * self.num_items + weights.col
            values = weights.data / weights.data.mean()
            self.register_buffer("pair_keys", torch.from_numpy(keys), persistent=False)
            self.register_buffer("weight_of_key", torch.from_numpy(values), persistent=False)

    def pair_weights(self, batch: Batch) -> Tensor | None:
        """Weights of the pairs over their mean, ``[B]``, with ``use_weights``."""
        if not self.use_weights:
            return None
        keys = batch.users * self.num_items + batch.pos
        return self.weight_of_key[torch.searchsorted(self.pair_keys, keys)]

    def embed(self) -> tuple[Tensor, Tensor]:
        """The two tables."""
        return self.users, self.items

    def penalised(self, batch: Batch) -> list[Chosen]:
        """The rows of the batch."""
        return [Chosen(self.users, batch.users), Chosen(self.items, batch.items)]
