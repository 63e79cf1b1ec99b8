"""Define the base classes of fusions."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphrec.nn.masking import weighted_sum, without_missing


class Fusion(nn.Module, ABC):
    """Base of the fusions, which turn M vectors per item, some of them missing, into one.

    A missing modality takes no part: its token may hold any finite value and changes nothing.
    Items with no modality at all get the zero vector.

    Tokens ``[I, M, D]`` are best stored in memory as ``[M, I, D]``, as ``ItemContent`` makes them:
    then an operation on one modality works on one block.
    """

    def __init__(self, num_modalities: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse the tokens of each item.

        Shapes:
            tokens: ``[I, M, D]``; present: ``[I, M]`` bool; result: ``[I, D]``.
        """
        return self._fuse(without_missing(tokens, present), present)

    @torch.no_grad()
    def modality_weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return the weight of each modality for a report, ``[I, M]``, zero where missing."""
        return self._weights(without_missing(tokens, present), present)

    @abstractmethod
    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens that are zeros where missing."""

    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return |x - x without m| / sum over m of the same: the change if m were left out.

        This serves formulas without weights; tokens are zeros where missing.
        """
        fused = self._fuse(tokens, present)
        modalities = torch.arange(present.shape[1], device=present.device)
        reduced = [self(tokens, present & (modalities != m)) for m in modalities]
        changes = torch.stack([(fused - without).norm(dim=1) for without in reduced], dim=1)
        return changes / changes.sum(dim=1, keepdim=True).clamp(min=torch.finfo(changes.dtype).tiny)


class WeightedSum(Fusion):
    """x = sum over the present m of a_m x_m, where a_m is the weight of modality m."""

    def _fuse(self, tokens: Tensor, present: Tensor) -> Tensor:
        return weighted_sum(self._weights(tokens, present), tokens)

    @abstractmethod
    def _weights(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return the weights a, ``[I, M]``, zero where missing."""
