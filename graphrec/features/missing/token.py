"""Give the items without a modality one learned row."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graphrec.core.digest import digest
from graphrec.data import Modality
from graphrec.features.missing.missing_modality import Matrix


class TokenRows(nn.Module):
    """x_i = the row of item i where it has one, else the token t, trained with the model.

    Shapes:
        values: ``[I, F]``; lacking: ``[I]`` bool; token and its start value: ``[F]``.
    """

    values: Tensor
    lacking: Tensor

    def __init__(self, values: Tensor, lacking: Tensor, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("lacking", lacking.unsqueeze(1), persistent=False)
        self.token = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """Return the rows ``[I, F]``."""
        return torch.where(self.lacking, self.token, self.values)


@dataclass(frozen=True, eq=False)
class TokenModality(Modality):
    """Modality in which items have their own row, or else the token, which starts at the mean.

    In the graph of similar items, which follows from ``values``, an item without its own row still
    has no direction.

    Shapes:
        lacking: ``[I]`` bool, where ``values`` is zero; start: ``[F]``.
    """

    lacking: npt.NDArray[np.bool_]
    start: Matrix

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 of values, mask of the items that lack one, and start of the token."""
        return digest(self.values, self.lacking, self.start)

    def rows(self) -> nn.Module:
        """Return a new module whose output in a model is the rows ``[I, F]``, with a new token."""
        values, lacking, start = map(torch.from_numpy, (self.values, self.lacking, self.start))
        return TokenRows(values, lacking, start)
