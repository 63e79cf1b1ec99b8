"""The contract of a fusion."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Turns M vectors per item, of which some are missing, into one.

    A missing modality takes no part: its token may hold any finite value and changes nothing.
    Items with no modality at all get the zero vector.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse.

        Shapes:
            tokens: ``[I, M, D]``; present: ``[I, M]`` bool.
            result: fused ``[I, D]`` and the weight of each modality ``[I, M]``, zero where
            missing.
        """


def parameter(shape: tuple[int, ...], rng: torch.Generator) -> nn.Parameter:
    """A Xavier-normal parameter drawn from ``rng``."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(shape), generator=rng))
