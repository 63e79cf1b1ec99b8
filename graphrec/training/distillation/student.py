"""A student with its teacher, as the one model that is trained."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from graphrec.models import Batch, EmbeddingModel, Model
from graphrec.models.base import ParameterGroup, pair_scores, rows
from graphrec.training.distillation.config import DistillConfig
from graphrec.training.distillation.losses import embedding_loss, score_loss
from graphrec.training.distillation.teacher import Teacher

if TYPE_CHECKING:
    pass


class DistilledStudent(Model):
    """A student's own loss, and two terms beside it that pull it to its teacher.

        score_weight * T^2 KL(softmax(z_t / T) || softmax(z_s / T))
        embedding_weight * (||W x_u - y_u||^2 / mean ||y_u||^2 + the same of items) / 2

    with T = ``temperature``. Logits z are scores on the scale of the own loss of either model
    (``Teacher.logits``). They are compared for each training pair on its positive, its negatives
    and ``candidates`` items drawn from the teacher's best. x and y are the final embeddings of
    student and teacher, on the users and items of the batch; W ``[D', D]`` learns with the student
    and is gone when it is done.

    Source: hinton2015distilling and romero2015fitnets; see ``losses``.

    Deviations: those of the losses.
    """

    mean_squares: tuple[float, ...] = ()

    def __init__(
        self, student: EmbeddingModel, teacher: Teacher, config: DistillConfig, rng: torch.Generator
    ) -> None:
        nn.Module.__init__(self)  # it is made of a model, not of settings and inputs
        self.num_users, self.num_items = student.num_users, student.num_items
        self.student, self.teacher, self.config = student, teacher, config
        self.map: nn.Parameter | None = None
        self.rng = rng
        self.counts = (teacher.best >= 0).sum(dim=1, keepdim=True)
        if config.embedding_weight:
            assert teacher.embeddings is not None  # see with_teacher
            with torch.no_grad():
                width = student.eval().vectors()[0].shape[1]
            shape = teacher.embeddings[0].shape[1], width
            self.map = nn.Parameter(torch.randn(shape, generator=rng) / math.sqrt(width))
            self.mean_squares = tuple(
                float(table.square().sum(dim=1).mean()) for table in teacher.embeddings
            )

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Return the scorer of the student."""
        return self.student.scorer()

    def deployable(self) -> Model:
        """Return the student without its teacher."""
        return self.student

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the groups of the student, and the map."""
        own = [] if self.map is None else [ParameterGroup([self.map])]
        return [*self.student.parameter_groups(), *own]

    def begin_epoch(self, rng: torch.Generator) -> None:
        """Prepare the student; candidates are drawn from what is left of the stream."""
        self.student.begin_epoch(rng)
        self.rng = rng

    def after_step(self) -> None:
        """Do what the student does."""
        self.student.after_step()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the student, and ``distill_scores`` and ``distill_embeddings``."""
        terms, (users, items) = self.student.loss_and_vectors(batch)
        return terms | self._terms(users, items, batch)

    def _terms(self, users: Tensor, items: Tensor, batch: Batch) -> dict[str, Tensor]:
        config, terms = self.config, dict[str, Tensor]()
        if config.score_weight:
            chosen = torch.cat([batch.items, self._drawn(batch.users)], dim=1)
            with torch.no_grad():
                theirs = self.teacher.logits(batch.users, chosen)
            own = pair_scores(users, items, batch.users, chosen) / self.student.config.temperature
            terms["distill_scores"] = config.score_weight * score_loss(
                own, theirs, config.temperature
            )
        if self.map is not None:
            assert self.teacher.embeddings is not None
            sides = zip(
                (users, items),
                self.teacher.embeddings,
                (batch.users, batch.items.flatten()),
                self.mean_squares,
                strict=True,
            )
            errors = [
                embedding_loss(rows(own, ids), rows(theirs, ids), self.map, scale)
                for own, theirs, ids, scale in sides
            ]
            terms["distill_embeddings"] = config.embedding_weight / 2 * torch.stack(errors).sum()
        return terms

    def _drawn(self, users: Tensor) -> Tensor:
        """Items from the teacher's best, ``[B, candidates]``; one may come twice."""
        shape = len(users), self.config.candidates
        share = torch.rand(shape, generator=self.rng, device=users.device, dtype=torch.float64)
        place = (share * self.counts[users]).long()
        return self.teacher.best[users.unsqueeze(1), place].long()
