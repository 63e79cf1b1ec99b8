"""Load the teacher of an experiment and attach it to the student."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.rng import torch_stream
from graphrec.core.run_folder import RunFolder
from graphrec.evaluation import rank
from graphrec.experiment.comparable import COMPARABLE
from graphrec.experiment.load import load_run
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import read_result
from graphrec.models import EmbeddingModel, Model
from graphrec.training.distillation.student import DistilledStudent
from graphrec.training.distillation.teacher import Teacher, _logits, has_embeddings


def with_teacher(prepared: "Prepared", log: RunLog) -> "Prepared":
    """Return the experiment with the teacher of ``[distill]``, if there is one.

    Raises:
        DataError: the teacher's run is not finished, or has other data, another split or protocol.
        ConfigError: the settings need embeddings, and the teacher has none.
    """
    folder = prepared.config.distill.teacher
    if folder is None:
        return prepared
    with log.stage("teacher"):
        teacher = _load(folder, prepared)
    log.event("teacher", f"Teacher {folder}", {"folder": str(folder)})
    return replace(prepared, teacher=teacher)


def _load(folder: Path, prepared: "Prepared") -> Teacher:

    _require_same_task(folder, prepared)
    settings, train = prepared.config.distill, prepared.split.train
    origin, model = load_run(folder, beside=prepared.config)
    if settings.embedding_weight and not has_embeddings(model):
        raise ConfigError(
            f"distill.embedding_weight = {settings.embedding_weight}, but the teacher {folder}, "
            f"{origin.config.model.name!r}, does not rank by embeddings. Set it to 0 or choose "
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
            ranking = rank(model.scorer(), everyone, (train,), top, train.num_items, origin.device)
            best = ranking.items
    return Teacher(
        fingerprint=hashlib.sha256(RunFolder(folder).result.read_bytes()).hexdigest(),
        logits=_logits(model, embeddings, origin.device),
        best=torch.from_numpy(best).to(prepared.device),
        embeddings=embeddings,
    )


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


def with_distillation(model: Model, prepared: "Prepared") -> Model:
    """Return the model to train: ``model`` itself, or a student that wraps it and its teacher.

    Raises:
        ConfigError: with its settings the model does not rank by embeddings.
    """
    if prepared.teacher is None:
        return model
    if not (isinstance(model, EmbeddingModel) and model.learns_by_products):
        raise ConfigError(
            f"distill.teacher: model {prepared.config.model.name!r}, as it is set, does not rank "
            f"by embeddings and cannot be taught. Change its settings or remove [distill]."
        )
    rng = torch_stream(prepared.config.run.seed, "distill")
    return DistilledStudent(model, prepared.teacher, prepared.config.distill, rng)
