"""Matrix factorisation."""

from torch import Tensor

from graphrec.losses import Chosen
from graphrec.models.base import (
    Batch,
    EmbeddingConfig,
    EmbeddingModel,
    Inputs,
    embedding_table,
)


class MF(EmbeddingModel):
    """s(u, i) = p_u . q_i.

    Source: rendle2009bpr, Section 4.3.1 (with ``loss = "bpr"``).

    Deviations: Adam instead of plain SGD; an epoch passes once over all training pairs, where the
    paper draws triples with replacement; several negatives of a pair are averaged.
    """

    reference = "rendle2009bpr"

    def __init__(self, config: EmbeddingConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.users = embedding_table(self.num_users, config, inputs.rng)
        self.items = embedding_table(self.num_items, config, inputs.rng)

    def embed(self) -> tuple[Tensor, Tensor]:
        """The two tables."""
        return self.users, self.items

    def penalised(self, batch: Batch) -> list[Chosen]:
        """The rows of the batch."""
        return [Chosen(self.users, batch.users), Chosen(self.items, batch.items)]
