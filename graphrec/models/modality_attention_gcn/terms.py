"""All terms that are added to the ranking loss, from one set of tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.precision import single
from graphrec.models.modality_attention_gcn.config import AlignmentConfig
from graphrec.nn.alignment.adversarial import Discriminator
from graphrec.nn.alignment.balance import (
    Balance,
    Fixed,
    GradNorm,
    Ranking,
    Uncertainty,
    modality_losses,
)
from graphrec.nn.alignment.contrastive import infonce
from graphrec.nn.alignment.discrepancy import mmd
from graphrec.nn.masking import without_missing

MOST_ITEMS = 1024
"""Items that are aligned in one step; of more, these are drawn. The cost is quadratic."""


class Step(NamedTuple):
    """What a step of training shows to the terms.

    Shapes:
        items: ``[B, 1 + k]``, positives and negatives; tokens: ``[I, M, D]``; present: ``[I, M]``
        bool; ids: free embeddings of items ``[I, D]``; has_id: ``[I, 1]`` bool; users: ``[B, D]``;
        shared: the table of users.
    """

    items: Tensor
    tokens: Tensor
    present: Tensor
    ids: Tensor | None
    has_id: Tensor
    users: Tensor
    shared: Tensor


class AlignmentTerms(nn.Module):
    """Alignment, ranking losses of single modalities and L1, of the distinct items of a batch.

    The L1 term is the mean of |x_im|_1 over the present tokens: sparse codes, as sparse coding
    has them. A penalty on the projections would choose features instead, and its strength would
    depend on how many there are.

    The contrast takes in the free embedding e_i. A propagated item holds its own tokens already,
    and so would agree with them without learning anything.

    Source: sparse codes olshausen1996sparse.
    Deviations: of the paper only the L1 penalty on the codes is taken, without reconstruction.
    """

    def __init__(
        self,
        config: AlignmentConfig,
        names: Sequence[str],
        dim: int,
        ranking: Ranking,
        normalize: bool,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.names = config, names
        self.ranking, self.normalize = ranking, normalize
        if config.align == "adversarial":
            self.discriminator = Discriminator(len(names), dim, config.align_weight, rng)
        if config.modality_loss:
            self.balance = self._balance()

    def _balance(self) -> Balance:
        if self.config.balance == "uncertainty":
            return Uncertainty(len(self.names))
        if self.config.balance == "gradnorm":
            return GradNorm(len(self.names), self.config.balance_alpha)
        return Fixed(self.names, self.config.modality_weights)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Weighted terms by name."""
        with torch.autocast(step.tokens.device.type, enabled=False):
            return self._terms(step)

    def _terms(self, step: Step) -> dict[str, Tensor]:
        items, places = step.items.unique(return_inverse=True)
        present = step.present[items]
        tokens = without_missing(single(step.tokens.index_select(0, items)), present)
        terms: dict[str, Tensor] = {}
        if self.config.align != "none":
            terms[self.config.align] = self._align(tokens, present, items, step)
        if self.config.projection_l1:
            norms = tokens.abs().sum() / present.sum().clamp(min=1)
            terms["projection_l1"] = self.config.projection_l1 * norms
        if self.config.modality_loss:
            users = single(step.users)
            if self.normalize:
                users, tokens = functional.normalize(users), functional.normalize(tokens, dim=2)
            losses, counted = modality_losses(users, tokens, present, places, self.ranking)
            weighed, own = self.balance(losses, counted, step.shared)
            weighed = self.config.modality_loss * weighed
            terms |= {f"modality_{m}": loss for m, loss in zip(self.names, weighed, strict=True)}
            if own is not None:
                terms[self.config.balance] = self.config.modality_loss * own
        return terms

    def _align(self, tokens: Tensor, present: Tensor, items: Tensor, step: Step) -> Tensor:
        if len(items) > MOST_ITEMS:
            some = torch.randperm(len(items), device=items.device)[:MOST_ITEMS]
            tokens, present, items = tokens[some], present[some], items[some]
        if self.config.align == "adversarial":
            term: Tensor = self.discriminator(tokens, present)
            return term
        if self.config.align == "mmd":
            return self.config.align_weight * mmd(tokens, present)
        if step.ids is not None:
            own = single(step.ids.index_select(0, items)).unsqueeze(1)
            tokens = torch.cat([tokens, own], dim=1)
            present = torch.cat([present, step.has_id[items]], dim=1)
        return self.config.align_weight * infonce(tokens, present, self.config.align_temperature)
