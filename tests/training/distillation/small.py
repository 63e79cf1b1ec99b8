"""A large teacher and small students on the data of ``tests.flow``."""

from pathlib import Path

from graphrec import RunConfig
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.teacher import with_teacher
from graphrec.training.distillation.teacher import Teacher
from tests import flow


def teacher_run(closed_form: str = "none") -> Path:
    """The flagship with content; it ranks by cosines, on another scale than its students."""
    return flow.finished(
        "modality_attention_gcn",
        "training.max_epochs=30",
        "training.patience=30",
        "model.dim=16",
        "model.normalize=true",
        "model.loss=softmax",
        "model.temperature=0.2",
        f"model.closed_form={closed_form}",
    )


def student_of(teacher: Path | None, *overrides: str, model: str = "mf") -> RunConfig:
    """A student four wide; without a teacher, alone."""
    given = ["model.dim=4", "training.max_epochs=6", *overrides]
    if teacher is not None:
        given.append(f'distill.teacher="{teacher}"')
    return flow.config_of(flow.data(), model, given)


def prepared_with(teacher: Path, *overrides: str, model: str = "mf") -> tuple[Prepared, Teacher]:
    found = with_teacher(prepare(student_of(teacher, *overrides, model=model), RunLog()), RunLog())
    assert found.teacher is not None
    return found, found.teacher
