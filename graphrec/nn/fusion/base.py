"""The contract of a fusion, and what fusions share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphrec.nn.masking import weighted_sum, without_missing


class Fusion(nn.Module, ABC):
    """Turns M vectors per item, of which some are missing, into one.

    A missing modality takes no part: its token may hold any finite value and changes nothing.
    Items with no modality at all get the zero vector.

    Tokens ``[I, M, D]`` had best lie in memory as ``[M, I, D]``, as ``ItemContent`` makes them:
    then what is done to one modality is done to one block.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse.

        Shapes:
            tokens: ``[I, M, D]``; present: ``[I, M]`` bool; result: ``[I, D]``.
        """
        return self._fuse(without_missing(tokens, present), present)

    @torch.no_grad()
    def modality_weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """How much each modality counts, ``[I, M]``, zero where missing: a report, no gradient."""
        return self._weights(without_missing(tokens, present), present)

    @abstractmethod
    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens that are zeros where missing."""

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """|x - x without m| over the sum of these: what leaving m out would change.

        For formulas that have no weights; tokens are zeros where missing.
        """
        fused = self._fuse(tokens, present)
        modalities = torch.arange(present.shape[1], device=present.device)
        others = [self(tokens, present & (modalities != m)) for m in modalities]
        changes = torch.stack([(fused - each).norm(dim=1) for each in others], dim=1)
        return changes / changes.sum(dim=1, keepdim=True).clamp(min=torch.finfo(changes.dtype).tiny)


class WeightedSum(Fusion):
    """x = sum over the present m of a_m x_m; the weights of the modalities are a."""

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        return weighted_sum(self._weights(tokens, present), tokens)

    @abstractmethod
    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """a, ``[I, M]``, zero where missing."""
