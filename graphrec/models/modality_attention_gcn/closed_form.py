"""Add the scores of EASE, which has a closed form, to those that the flagship learns."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec.core.memory_limit import Need
from graphrec.core.precision import single
from graphrec.data import Interactions
from graphrec.models.base import EmbeddingModel, Inputs
from graphrec.models.config import ModelConfig
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.nn.ease import EASESolver, ease_need

LARGEST = 10_000
"""Size of the matrix up to which ``closed_form = "auto"`` solves it, which then takes 400 MB."""

ROUNDING = 8
"""Deviation that rounding may give to equal scores, in float steps at their size."""

Scorer = Callable[[Tensor], Tensor]
"""Users ``[B]`` -> scores of all items ``[B, I]``."""


def has_closed_form(config: ModalityAttentionGCNConfig, train: Interactions) -> bool:
    """Return whether the scores of EASE are added; a rule of settings and data alone."""
    if config.closed_form == "auto":
        return min(train.num_users, train.num_items) <= LARGEST
    return config.closed_form == "ease"


class Standard(NamedTuple):
    """The mean and the inverse deviation of each user's scores over all items, ``[B, 1]``.

    The inverse is 0 where all scores are equal.
    """

    mean: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, scores: Tensor, single_error: float = 0.0) -> "Standard":
        """Measure scores ``[B, I]``; the deviation is that of the population.

        Args:
            single_error: rounding error that one score of a user may have where all are 0.
        """
        mean = scores.mean(dim=1, keepdim=True)
        deviation = (scores - mean).square().mean(dim=1, keepdim=True).sqrt()
        error = (ROUNDING * torch.finfo(scores.dtype).eps * mean.abs()).clamp(
            min=single_error / scores.shape[1] ** 0.5
        )
        flat = deviation <= error
        return cls(mean, torch.where(flat, 0, 1 / deviation))

    def apply(self, scores: Tensor) -> Tensor:
        """Return z-scores ``[B, I]``; 0 for a user whose scores are all equal."""
        return (scores - self.mean) * self.inverse


class ClosedForm:
    """z_u(x_u B) beside z_u(p): z_u(s) = (s - mean) / deviation over all items, p learned scores.

    B of EASE is solved on first use and never stored: it follows from settings and data.

    Attributes:
        weight: w, of z_u(x_u B).

    Source: steck2019ease, Eq. 8; z-scores and their sum are graphrec's.
    """

    def __init__(self, config: ModalityAttentionGCNConfig, train: Interactions) -> None:
        self.weight = config.closed_form_weight
        self._solver = EASESolver(train.matrix, config.closed_form_reg, "model.closed_form_reg")

    @property
    def solver(self) -> EASESolver:
        """Return the solver, solved."""
        if not self._solver.is_solved:
            self._solver.solve()
        return self._solver

    def fused(self, learned: Scorer) -> Scorer:
        """Return the function of z_u(p) + w z_u(x_u B); p has the scores ``learned``."""
        solver = self.solver

        def score(users: Tensor) -> Tensor:
            own, exact = single(learned(users)), solver.scores(users)
            fused = Standard.of(own).apply(own)
            return fused + self.weight * self._standard(exact).apply(exact).to(fused.dtype)

        return score

    def scale(self, users: Tensor) -> Tensor:
        """Return w / deviation of x_u B, ``[B, 1]``: what B_ji is multiplied by in a score."""
        return self.weight * self._standard(self.solver.scores(users)).inverse

    def _standard(self, exact: Tensor) -> Standard:
        # On the side of users an item's score is a difference from 1, even if it is 0.
        step = torch.finfo(exact.dtype).eps if self.solver.user_side else 0.0
        return Standard.of(exact, ROUNDING * step)


class FusedScores(EmbeddingModel):
    """The part of the flagship that scores: by what it learned, with EASE beside it or alone."""

    config: ModalityAttentionGCNConfig

    def __init__(self, config: ModalityAttentionGCNConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        added = has_closed_form(config, inputs.train)
        self.closed = ClosedForm(config, inputs.train) if added else None

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """Yield the memory of the scores of EASE, if they are added."""
        assert isinstance(config, ModalityAttentionGCNConfig)
        train = inputs.train
        if has_closed_form(config, train):
            subject = f"closed_form = {config.closed_form!r} of {config.name}"
            remedy = 'Set model.closed_form = "none", or keep fewer of them with data.clean.'
            yield ease_need(train.num_users, train.num_items, subject, remedy)

    @property
    @abstractmethod
    def learns_by_products(self) -> bool:
        """Return whether learned scores are inner products."""

    @property
    def ranks_by_products(self) -> bool:
        """Return whether scores are inner products: not with EASE beside them."""
        return self.closed is None and self.learns_by_products

    def learned_scorer(self) -> Scorer:
        """Return the function of scores without those of EASE."""
        return super().scorer()

    def scorer(self) -> Scorer:
        """Return the function of learned scores, fused with those of EASE if they are added."""
        learned = self.learned_scorer()
        return learned if self.closed is None else self.closed.fused(learned)
