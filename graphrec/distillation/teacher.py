"""What a teacher knows: read once from a finished run, and frozen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import ConfigError, DataError
from graphrec.evaluation import rank
from graphrec.models import EmbeddingModel, Model, VectorModel
from graphrec.models.base import pair_scores
from graphrec.report import COMPARABLE
from graphrec.result import read_result
from graphrec.run_log import RunLog

if TYPE_CHECKING:
    from graphrec.prepared import Prepared

SMALLEST = 1e-12
"""Deviation of the scores of a user about whom the teacher knows nothing."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A frozen model; nothing of it has a gradient.

    Attributes:
        fingerprint: sha256 of the record of its run, so that a resumed student has the same one.
        logits: users ``[B]``, items ``[B, n]`` -> ``[B, n]``: scores as its own loss sees them,
            divided by ``model.temperature``; without one, by their deviation over all items.
        best: its best items of each user that are no training items, ``[U, K]``, best first; -1
            where there are no more. K is 0 if they are not asked for.
        embeddings: vectors of users and items, ``[U, D']`` and ``[I, D']``, if it ranks by them.
    """

    fingerprint: str
    logits: Callable[[Tensor, Tensor], Tensor]
    best: Tensor
    embeddings: tuple[Tensor, Tensor] | None


def with_teacher(prepared: "Prepared", log: RunLog) -> "Prepared":
    """The same experiment with the teacher of ``[distill]``, if there is one.

    Raises:
        DataError: the run is not finished, or is one of other data, another split or protocol.
        ConfigError: its embeddings are asked for, and it has none.
    """
    folder = prepared.config.distill.teacher
    if folder is None:
        return prepared
    with log.stage("teacher"):
        teacher = _load(folder, prepared)
    log.event("teacher", f"Teacher {folder}", {"folder": str(folder)})
    return replace(prepared, teacher=teacher)


def _load(folder: Path, prepared: "Prepared") -> Teacher:
    from graphrec.recommend import load_run  # it imports run, which imports this file

    _require_same_task(folder, prepared)
    settings, train = prepared.config.distill, prepared.split.train
    own, model = load_run(folder, beside=prepared.config)
    if settings.embedding_weight and not has_embeddings(model):
        raise ConfigError(
            f"distill.embedding_weight = {settings.embedding_weight}, but the teacher {folder}, "
            f"{own.config.model.name!r}, does not rank by embeddings. Set it to 0 or choose "
            f"another teacher."
        )
    with torch.no_grad():
        embeddings = None
        if has_embeddings(model):
            users, items = (table.to(prepared.device) for table in model.vectors())
            embeddings = users, items
        best = np.empty((train.num_users, 0), np.int32)
        if settings.score_weight and settings.candidates:
            top, everyone = min(settings.top, train.num_items), np.arange(train.num_users)
            ranking = rank(model.scorer(), everyone, (train,), top, train.num_items, own.device)
            best = ranking.items
    return Teacher(
        fingerprint=hashlib.sha256((folder / "result.json").read_bytes()).hexdigest(),
        logits=_logits(model, embeddings, own.device),
        best=torch.from_numpy(best).to(prepared.device),
        embeddings=embeddings,
    )


def has_embeddings(model: Model) -> TypeGuard[VectorModel]:
    """Whether the model ranks by inner products of its vectors."""
    return isinstance(model, VectorModel) and model.ranks_by_products


def _require_same_task(folder: Path, prepared: "Prepared") -> None:
    """Refuse a teacher of other data before it is loaded."""
    theirs = read_result(folder).fingerprints
    different = [name for name in COMPARABLE if theirs[name] != prepared.fingerprints[name]]
    if different:
        raise DataError(
            f"distill.teacher {folder} was trained and measured on something else: its "
            f"{', '.join(different)} {'differs' if len(different) == 1 else 'differ'} from the "
            f"student's. Give both the same [data], [split] and [evaluation] protocol."
        )


def _logits(
    model: Model, embeddings: tuple[Tensor, Tensor] | None, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    if embeddings is not None and isinstance(model, EmbeddingModel):
        temperature = model.config.temperature  # the model itself may go
        users, items = embeddings
        return lambda who, what: pair_scores(users, items, who, what) / temperature
    scorer = model.scorer()

    def standardised(who: Tensor, what: Tensor) -> Tensor:
        scores = scorer(who.to(device)).to(what.device)
        deviation = scores.std(dim=1, keepdim=True).clamp_min(SMALLEST)
        return scores.gather(1, what) / deviation

    return standardised
