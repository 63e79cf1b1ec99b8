"""Recommend what most users took."""

from collections.abc import Callable

import torch
from torch import Tensor

from graphrec.models.base import Inputs, Model
from graphrec.models.config import ModelConfig


class Popular(Model):
    """s(u, i) = number of training users of i; the same list for everybody.

    Source: none; the baseline every model must beat.

    Deviations: none; equal counts are ordered as all equal scores are, by the lower item id.
    """

    family = "reference"
    closed_form = True
    counts: Tensor

    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        counts = torch.from_numpy(inputs.train.item_degrees).float()
        self.register_buffer("counts", counts, persistent=False)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Return the item counts for every user."""
        return lambda users: self.counts.repeat(len(users), 1)
