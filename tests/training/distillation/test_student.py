"""A student and its teacher: what is compared, what is kept, what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from torch import Tensor

from graphrec import ConfigError, DataError, RunConfig, TrainingError, read_result, recommend, run
from graphrec.data import SealedTest
from graphrec.experiment.fit import build
from graphrec.experiment.load import load_run
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.teacher import with_distillation
from graphrec.models import Batch, EmbeddingModel, Model, VectorModel
from graphrec.training.distillation.losses import embedding_loss, score_loss
from graphrec.training.distillation.student import DistilledStudent
from graphrec.training.distillation.teacher import _logits
from tests import flow
from tests.test_resume import Killed, same, stop_at_checkpoint
from tests.training.distillation.small import prepared_with, student_of, teacher_run

BATCH = Batch(
    torch.tensor([3, 0, 3]), torch.tensor([1, 2, 5]), torch.tensor([[7, 9], [4, 4], [0, 7]])
)
BOTH = ("distill.embedding_weight=0.3", "distill.score_weight=0.7", "distill.temperature=2.0")


def weights_in(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "checkpoint.safetensors")


def learner_of(prepared: Prepared) -> tuple[DistilledStudent, EmbeddingModel]:
    student = build(prepared.config.model, prepared)
    learner = with_distillation(student, prepared)
    assert isinstance(learner, DistilledStudent)
    assert isinstance(student, EmbeddingModel)
    return learner, student


# What the teacher knows.


@pytest.mark.parametrize("name", ["modality_attention_gcn", "ease", "itemknn"])
def test_logits_are_the_teachers_scores_on_the_scale_of_its_loss(name: str) -> None:
    folder = teacher_run() if name == "modality_attention_gcn" else flow.finished(name)
    _, teacher = prepared_with(folder)
    scores = load_run(folder)[1].score(BATCH.users).detach().numpy()
    found = teacher.logits(BATCH.users, BATCH.items)
    assert not found.requires_grad
    for row in range(3):
        scale = np.std(scores[row], ddof=1) if name != "modality_attention_gcn" else 0.2
        for column in range(3):
            expected = scores[row, BATCH.items[row, column]] / scale
            assert float(found[row, column]) == pytest.approx(expected, rel=1e-4)


def test_a_teacher_that_knows_nothing_of_a_user_has_finite_logits() -> None:
    same = _logits(Constant(), None, torch.device("cpu"))
    assert torch.equal(same(BATCH.users, BATCH.items), torch.zeros(3, 3))


class Constant(Model):
    """All items score the same."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        return lambda users: torch.zeros(len(users), flow.NUM_ITEMS)


def test_the_best_items_are_ranked_and_no_training_items() -> None:
    prepared, teacher = prepared_with(teacher_run(), "distill.top=15")
    _, model = load_run(teacher_run())
    scores = model.score(torch.arange(flow.NUM_USERS)).detach()
    train = prepared.split.train
    for user in range(flow.NUM_USERS):
        own = set(train.items[train.users == user].tolist())
        ranked = sorted(set(range(flow.NUM_ITEMS)) - own, key=lambda i: -float(scores[user, i]))
        expected = (ranked + [-1] * 15)[:15]
        assert teacher.best[user].tolist() == expected


@pytest.mark.parametrize("override", ["distill.candidates=0", "distill.score_weight=0"])
def test_without_candidates_nothing_is_ranked(override: str) -> None:
    _, teacher = prepared_with(teacher_run(), override, "distill.embedding_weight=1")
    assert teacher.best.shape == (flow.NUM_USERS, 0)


# The terms.


@pytest.mark.parametrize("candidates", [0, 4])
def test_the_terms_are_those_of_the_formula(candidates: int) -> None:
    prepared, teacher = prepared_with(
        teacher_run(), *BOTH, f"distill.candidates={candidates}", "model.temperature=0.5"
    )
    learner, student = learner_of(prepared)
    learner.begin_epoch(torch.Generator().manual_seed(5))
    found = learner.loss(BATCH)

    rng = torch.Generator().manual_seed(5)
    shares = torch.rand((3, candidates), generator=rng, dtype=torch.float64).tolist()
    users, items = (table.detach() for table in student.embed())
    _, large = load_run(teacher_run())
    assert isinstance(large, EmbeddingModel)
    their_users, their_items = (table.detach() for table in large.vectors())
    own, theirs = [], []
    for row, user in enumerate(BATCH.users.tolist()):
        best = [item for item in teacher.best[user].tolist() if item >= 0]
        compared = BATCH.items[row].tolist() + [best[int(s * len(best))] for s in shares[row]]
        own.append([float(users[user] @ items[item]) / 0.5 for item in compared])
        theirs.append([float(their_users[user] @ their_items[item]) / 0.2 for item in compared])
    expected = 0.7 * score_loss(torch.tensor(own), torch.tensor(theirs), 2.0).item()
    assert found["distill_scores"].item() == pytest.approx(expected, rel=1e-4)

    assert learner.map is not None
    parts = []
    for mine, other, ids in (
        (users, their_users, BATCH.users),
        (items, their_items, BATCH.items.flatten()),
    ):
        scale = sum(float(row @ row) for row in other) / len(other)
        parts.append(embedding_loss(mine[ids], other[ids], learner.map.detach(), scale).item())
    assert found["distill_embeddings"].item() == pytest.approx(0.3 * sum(parts) / 2, rel=1e-4)

    alone = student.loss(BATCH)
    assert alone.keys() == {"bpr", "reg"}
    assert all(torch.equal(found[name], value) for name, value in alone.items())


def test_a_weight_of_zero_leaves_its_term_out() -> None:
    for override, name in (
        ("distill.score_weight=1", "distill_scores"),
        ("distill.score_weight=0", "distill_embeddings"),
    ):
        weights = [override] if name == "distill_scores" else [override, BOTH[0]]
        learner, _ = learner_of(prepared_with(teacher_run(), *weights)[0])
        assert learner.loss(BATCH).keys() == {"bpr", "reg", name}
        assert (learner.map is None) == (name == "distill_scores")


@pytest.mark.parametrize("where", ["early", "middle", "late", "sample", "model"])
def test_wherever_the_student_fuses_its_scores_are_taught_once(where: str) -> None:
    settings = [*BOTH, f"model.where={where}"]
    prepared, _ = prepared_with(teacher_run(), *settings, model="modality_attention_gcn")
    learner, student = learner_of(prepared)
    found = learner.loss(BATCH)
    users, items = student.vectors()
    learner.begin_epoch(torch.Generator().manual_seed(1))
    expected = learner._terms(users, items, BATCH)
    learner.begin_epoch(torch.Generator().manual_seed(1))
    again = learner.loss(BATCH)
    for name, value in expected.items():
        torch.testing.assert_close(again[name], value)
    assert found.keys() == student.loss(BATCH).keys() | expected.keys()


def test_the_terms_reach_the_student_and_the_map_and_not_the_teacher() -> None:
    learner, student = learner_of(prepared_with(teacher_run(), *BOTH)[0])
    terms = learner.loss(BATCH)
    (terms["distill_scores"] + terms["distill_embeddings"]).backward()
    learned = {id(weight) for group in learner.parameter_groups() for weight in group.parameters}
    assert learned == {id(weight) for weight in (*student.parameters(), learner.map)}
    assert all(weight.grad is not None and weight.grad.any() for weight in learner.parameters())
    assert not any(table.requires_grad for table in learner.teacher.embeddings or ())


# What comes out.


def divergence(folder: Path, teacher: Path) -> float:
    """Mean over users of KL(softmax(teacher) || softmax(student)) over the whole catalogue."""
    _, model = load_run(folder)
    users, items = torch.arange(flow.NUM_USERS), torch.arange(flow.NUM_ITEMS)
    theirs = prepared_with(teacher)[1].logits(users, items.expand(len(users), -1))
    return score_loss(model.score(users).detach(), theirs, 1.0).item()


LONG = ("training.max_epochs=30", "training.patience=30", "training.eval_every=10")


@pytest.mark.parametrize(
    ("name", "seed"), [("", 0), ("", 1), ("popular", 0), ("ease", 0), ("joint_embedding", 0)]
)
def test_a_taught_student_is_nearer_to_the_teacher_than_one_alone(
    name: str, seed: int, tmp_path: Path
) -> None:
    teacher = flow.finished(name) if name else teacher_run()
    run(student_of(teacher, *LONG, f"run.seed={seed}"), tmp_path)
    alone = flow.finished("mf", "model.dim=4", *LONG, f"run.seed={seed}")
    assert divergence(tmp_path, teacher) < 0.5 * divergence(alone, teacher)


def test_embeddings_are_taught_too(tmp_path: Path) -> None:
    """The best linear map explains more of the teacher's embeddings."""
    weights = ["distill.score_weight=0", "distill.embedding_weight=3"]
    run(student_of(teacher_run(), *LONG, *weights), tmp_path)
    alone = flow.finished("mf", "model.dim=4", *LONG, "run.seed=0")

    def left(folder: Path) -> float:
        tables = []
        for each in (load_run(folder)[1], load_run(teacher_run())[1]):
            assert isinstance(each, EmbeddingModel)
            tables.append(torch.cat(each.vectors()).detach().numpy())
        solution = np.linalg.lstsq(tables[0], tables[1], rcond=None)[0]
        error = tables[0] @ solution - tables[1]
        return float((error**2).sum() / (tables[1] ** 2).sum())

    assert left(tmp_path) < 0.5 * left(alone)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A copy of the teacher, which the test may change or remove."""
    return Path(shutil.copytree(teacher_run(), tmp_path / "teacher"))


def test_the_run_of_a_student_holds_the_student_alone_and_needs_no_teacher(
    teacher: Path, tmp_path: Path
) -> None:
    result = run(student_of(teacher, *BOTH), tmp_path / "student")
    plain = run(student_of(None), tmp_path / "alone")
    assert result.num_parameters == plain.num_parameters == 4 * (flow.NUM_USERS + flow.NUM_ITEMS)
    assert weights_in(tmp_path / "student").keys() == {"best.users", "best.items"}
    assert "teacher" in result.fingerprints
    assert "loss/distill_scores" in result.history[0]

    shutil.rmtree(teacher)
    stored = pl.read_parquet(tmp_path / "student/recommendations.parquet").filter(user="u03")
    assert recommend(tmp_path / "student", ["u03"], 5).drop("title").equals(stored)
    assert flow.graphrec("report", tmp_path / "student", "--metrics", "ndcg@5").code == 0
    assert read_result(tmp_path / "student") == result


def test_a_model_alone_is_itself() -> None:
    prepared, _ = prepared_with(flow.finished("popular"))
    student = build(prepared.config.model, prepared)
    assert with_distillation(student, prepared) is not student
    assert with_distillation(student, replace(prepared, teacher=None)) is student


def test_baselines_beside_a_student_are_not_taught(tmp_path: Path) -> None:
    overrides = ['evaluation.baselines=["lightgcn"]', "training.max_epochs=2"]
    mine = run(student_of(teacher_run(), *overrides), tmp_path / "taught")
    alone = run(student_of(None, *overrides), tmp_path / "alone")
    assert mine.baselines == alone.baselines


# Stopped and resumed.


STUDENTS = {
    "mf": (),
    "modality_attention_gcn": ("model.edge_drop=0.3", "model.feature_drop=0.2"),
    "ngcf": ("model.dropout=0.3",),
}


@pytest.mark.parametrize("model", STUDENTS)
def test_a_student_that_was_stopped_and_resumed_equals_one_that_was_not(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = student_of(teacher_run(), *BOTH, *STUDENTS[model], model=model)
    run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(3, True))
        with pytest.raises(Killed):
            run(config, tmp_path / "stopped")
    assert "model.map" in weights_in(tmp_path / "stopped")
    run(config, tmp_path / "stopped", resume=True)
    same(tmp_path / "stopped", tmp_path / "whole")


def test_a_student_does_not_go_on_with_another_teacher(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = student_of(teacher)
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(1, True))
        with pytest.raises(Killed):
            run(config, tmp_path / "student")
    record = json.loads((teacher / "result.json").read_text())
    (teacher / "result.json").write_text(json.dumps(record | {"peak_bytes": 1}))
    with pytest.raises(TrainingError, match="belongs to another run: teacher differ"):
        run(config, tmp_path / "student", resume=True)


# What is refused.


def test_the_test_part_stays_sealed_while_the_teacher_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = run(student_of(teacher_run()), tmp_path)
    assert result.test_openings == ["final evaluation"]

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(SealedTest, "open", refuse)
    prepared_with(teacher_run())


def refused(config: RunConfig, out: Path) -> str:
    with pytest.raises((ConfigError, DataError)) as caught:
        run(config, out)
    assert not out.exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("split.kind=random", "its split differs"),
        ("evaluation.protocol=lattice", "its protocol differs"),
        ("evaluation.valid_metric=recall@5", "its protocol differs"),
    ],
)
def test_a_teacher_of_another_task_is_refused(override: str, what: str, tmp_path: Path) -> None:
    message = refused(student_of(teacher_run(), override), tmp_path / "out")
    assert str(teacher_run()) in message
    assert what in message


def test_a_teacher_of_other_data_is_refused(tmp_path: Path) -> None:
    flow.write_data(tmp_path)
    pairs = (tmp_path / "pairs.csv").read_text().splitlines()
    (tmp_path / "pairs.csv").write_text("\n".join(pairs[:-1]) + "\n")
    config = flow.config_of(tmp_path, "mf", [f'distill.teacher="{teacher_run()}"'])
    assert "its dataset, split differ from the student's" in refused(config, tmp_path / "out")


def test_a_teacher_that_is_not_finished_is_refused(teacher: Path, tmp_path: Path) -> None:
    (teacher / "result.json").unlink()
    assert "holds no result.json" in refused(student_of(teacher), tmp_path / "out")
    assert "holds no result.json" in refused(student_of(tmp_path / "no"), tmp_path / "out")


@pytest.mark.parametrize(
    ("model", "why"), [("ease", "closed form"), ("joint_embedding", "another kind of loss")]
)
def test_a_student_that_cannot_be_taught_is_refused(model: str, why: str, tmp_path: Path) -> None:
    config = flow.config_of(flow.data(), model, [f'distill.teacher="{teacher_run()}"'])
    message = refused(config, tmp_path / "out")
    assert why in message
    assert "lightgcn" in message


VOTE = ("model.where=late", "model.late=vote")


def test_a_student_whose_views_vote_is_refused(tmp_path: Path) -> None:
    config = student_of(teacher_run(), *VOTE, model="modality_attention_gcn")
    assert "as it is set, does not rank by embeddings" in refused(config, tmp_path / "out")


def test_a_teacher_whose_views_vote_teaches_its_votes() -> None:
    folder = flow.finished("modality_attention_gcn", *VOTE)
    _, teacher = prepared_with(folder)
    assert teacher.embeddings is None
    scores = load_run(folder)[1].score(BATCH.users).detach()
    expected = scores.gather(1, BATCH.items) / scores.std(dim=1, keepdim=True)
    torch.testing.assert_close(teacher.logits(BATCH.users, BATCH.items), expected)


def test_a_teacher_with_a_closed_form_teaches_its_fused_scores_and_its_embeddings() -> None:
    folder = teacher_run("auto")
    prepared, teacher = prepared_with(folder, *BOTH)
    model = load_run(folder)[1]
    assert isinstance(model, VectorModel)
    assert not model.ranks_by_products
    scores = model.score(BATCH.users).detach()
    expected = scores.gather(1, BATCH.items) / scores.std(dim=1, keepdim=True)
    torch.testing.assert_close(teacher.logits(BATCH.users, BATCH.items), expected)
    assert teacher.embeddings is not None
    assert all(map(torch.equal, teacher.embeddings, model.vectors()))
    learner, _ = learner_of(prepared)
    assert learner.loss(BATCH).keys() == {"bpr", "reg", "distill_scores", "distill_embeddings"}


def test_a_teacher_without_embeddings_cannot_teach_them(tmp_path: Path) -> None:
    config = student_of(flow.finished("ease"), "distill.embedding_weight=1")
    message = refused(config, tmp_path / "out")
    assert "distill.embedding_weight = 1.0" in message
    assert "'ease', does not rank by embeddings" in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["distill.temperature=2.0"], "temperature has no effect without teacher"),
        (["distill.embedding_weight=1"], "embedding_weight has no effect without teacher"),
        (['distill.teacher="t"', "distill.score_weight=0"], "the teacher teaches nothing"),
        (
            ['distill.teacher="t"', *BOTH[:1], "distill.score_weight=0", "distill.top=9"],
            "top has no effect while score_weight = 0",
        ),
        (
            ['distill.teacher="t"', "distill.candidates=0", "distill.top=9"],
            "top has no effect while candidates = 0",
        ),
        (['distill.teacher="t"', "distill.temperature=0"], "distill.temperature"),
        (['distill.teacher="t"', "distill.candidate=1"], "Did you mean 'candidates'"),
    ],
)
def test_a_setting_without_effect_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        student_of(None, *overrides)
