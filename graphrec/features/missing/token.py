"""A learned row for the items without a modality."""

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
        values: ``[I, F]``; lacking: ``[I]`` bool; token, and where it starts: ``[F]``.
    """

    values: Tensor
    lacking: Tensor

    def __init__(self, values: Tensor, lacking: Tensor, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("lacking", lacking.unsqueeze(1), persistent=False)
        self.token = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """The rows ``[I, F]``."""
        return torch.where(self.lacking, self.token, self.values)


@dataclass(frozen=True, eq=False)
class TokenModality(Modality):
    """Every item has a row: its own, or the token, which starts at the mean.

    To the graph of similar items, which follows from ``values``, an item without a row of its own
    stays one without direction.

    Shapes:
        lacking: ``[I]`` bool, where ``values`` is zero; start: ``[F]``.
    """

    lacking: npt.NDArray[np.bool_]
    start: Matrix

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the values, of who lacks one, and of the start of the token."""
        return digest(self.values, self.lacking, self.start)

    def rows(self) -> nn.Module:
        """A new module that gives the rows ``[I, F]`` inside a model, with a token of its own."""
        values, lacking, start = map(torch.from_numpy, (self.values, self.lacking, self.start))
        return TokenRows(values, lacking, start)
