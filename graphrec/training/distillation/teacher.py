"""What a teacher knows: read once from a finished run, and frozen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from graphrec.models import EmbeddingModel, Model, VectorModel
from graphrec.models.base import pair_scores

if TYPE_CHECKING:
    pass

SMALLEST = 1e-12
"""Deviation of the scores of a user about whom the teacher knows nothing."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A frozen model; nothing of it has a gradient.

    Attributes:
        fingerprint: sha256 of the record of its run, so that a resumed student has the same one.
        logits: users ``[B]``, items ``[B, n]`` -> ``[B, n]``: scores as its own loss sees them,
            divided by ``model.temperature``; scores that its loss does not see, by their deviation
            over all items.
        best: its best items of each user that are no training items, ``[U, K]``, best first; -1
            where there are no more. K is 0 if they are not asked for.
        embeddings: vectors of users and items, ``[U, D']`` and ``[I, D']``, if it has learned to
            rank by them.
    """

    fingerprint: str
    logits: Callable[[Tensor, Tensor], Tensor]
    best: Tensor
    embeddings: tuple[Tensor, Tensor] | None


def has_embeddings(model: Model) -> TypeGuard[VectorModel]:
    """Whether the model has learned to rank by inner products of its vectors."""
    return isinstance(model, VectorModel) and model.learns_by_products


def _logits(
    model: Model, embeddings: tuple[Tensor, Tensor] | None, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    if embeddings is not None and isinstance(model, EmbeddingModel) and model.ranks_by_products:
        temperature = model.config.temperature  # the model itself may go
        users, items = embeddings
        return lambda who, what: pair_scores(users, items, who, what) / temperature
    scorer = model.scorer()

    def standardised(who: Tensor, what: Tensor) -> Tensor:
        scores = scorer(who.to(device)).to(what.device)
        deviation = scores.std(dim=1, keepdim=True).clamp_min(SMALLEST)
        return scores.gather(1, what) / deviation

    return standardised
