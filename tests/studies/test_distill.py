"""The comparison of teacher, student alone and student taught."""

from pathlib import Path

import pytest
import torch

from graphrec import ConfigError, distill, read_result
from graphrec.experiment.load import load_run
from graphrec.studies.distill import BLOCK, ROUNDS, lost_percent, milliseconds
from tests import flow
from tests.training.distillation.small import student_of, teacher_run


def test_what_is_lost_is_relative_to_the_teacher_and_for_metrics_that_should_be_high() -> None:
    teacher = {"recall@5": 0.5, "ndcg@5": 0.2, "gini@5": 0.3, "hit@5": 0.0, "map@5": 0.1}
    student = {"recall@5": 0.4, "ndcg@5": 0.25, "gini@5": 0.1, "hit@5": 0.1}
    found = lost_percent(teacher, student)
    assert found == {"recall@5": pytest.approx(20), "ndcg@5": pytest.approx(-25)}


def test_every_model_is_timed_on_as_many_blocks_of_known_users() -> None:
    _, model = load_run(flow.finished("mf"))
    asked: list[torch.Tensor] = []
    real = model.scorer()
    model.scorer = lambda: lambda users: asked.append(users) or real(users)  # type: ignore
    ready, user = milliseconds({"a": model}, {"a": torch.device("cpu")}, 5)
    assert ready["a"] >= 0
    assert user["a"] > 0
    assert len(asked) == 2 * ROUNDS
    assert all(users.shape == (BLOCK,) and users.max() < flow.NUM_USERS for users in asked)


def test_both_students_have_one_seed_and_the_same_first_weights(tmp_path: Path) -> None:
    comparison = distill(student_of(teacher_run(), "training.batch_size=9999"), tmp_path)
    teacher, alone, taught = comparison.lines
    assert [line.role for line in comparison.lines] == ["teacher", "alone", "taught"]
    assert teacher.parameters > alone.parameters == taught.parameters
    assert teacher.model_bytes > alone.model_bytes == taught.model_bytes
    assert alone.model_bytes == 4 * alone.parameters  # mf: float32 tables and nothing else
    assert alone.embedding_bytes == taught.embedding_bytes == alone.model_bytes
    assert set(teacher.lost_percent.values()) == {0.0}
    results = {line.role: read_result(Path(line.folder)) for line in comparison.lines}
    assert all(results[line.role].metrics["test"] == line.test for line in comparison.lines)
    assert results["alone"].seed == results["taught"].seed == comparison.seed
    assert results["alone"].baselines == results["taught"].baselines == {}  # not fitted twice
    first, second = (
        [results[n].history[e]["loss/bpr"] for n in ("alone", "taught")] for e in (0, 1)
    )
    assert first[0] == first[1]  # one batch: the loss of the first weights, negatives and order
    assert second[0] != second[1]


def test_without_a_teacher_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Set distill\.teacher"):
        distill(student_of(None), tmp_path)
