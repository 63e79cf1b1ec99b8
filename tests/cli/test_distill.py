"""The command ``graphrec distill``."""

import json
from pathlib import Path

import pytest

from tests import flow
from tests.flow import graphrec
from tests.training.distillation.small import teacher_run


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """The configuration of a small student."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(flow.table_of(flow.data(), "lightgcn")))
    return path


def test_the_table_and_the_folders(student: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = graphrec(
        "distill", teacher_run(), student, "model.dim=4", "distill.embedding_weight=0.5",
        "--out", out,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    for word in ("teacher", "student alone", "student taught", "recall@5", "ndcg@5", "lost %"):
        assert word in answer.out
    assert "training.max_epochs" not in answer.out
    record = json.loads((out / "distill.json").read_text())
    assert [line["role"] for line in record["lines"]] == ["teacher", "alone", "taught"]
    assert record["settings"]["embedding_weight"] == 0.5
    report = graphrec("report", out / "alone", out / "taught", "--metrics", "ndcg@5")
    assert "lightgcn-alone" in report.out
    assert "lightgcn-taught" in report.out
    for name in ("alone", "taught"):
        answer = graphrec("recommend", out / name, "--user", "u03", "--k", "3", "--json")
        assert len(json.loads(answer.out)) == 3


def test_the_same_command_goes_on(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("distill", teacher_run(), student, "run.name=small", "--json")
    first = json.loads(graphrec(*command).out)
    trained = (tmp_path / "distilled/small/taught/result.json").stat().st_mtime_ns
    again = json.loads(graphrec(*command).out)
    assert (tmp_path / "distilled/small/taught/result.json").stat().st_mtime_ns == trained
    assert [line["test"] for line in again["lines"]] == [line["test"] for line in first["lines"]]


def test_a_run_teaches_by_its_configuration_alone(student: Path, tmp_path: Path) -> None:
    graphrec("distill", teacher_run(), student, "--out", tmp_path / "a", "--json")
    answer = graphrec("run", tmp_path / "a/taught/config.json", "--out", tmp_path / "b", "--json")
    again = json.loads(answer.out.splitlines()[-1])["metrics"]
    assert again == json.loads((tmp_path / "a/taught/result.json").read_text())["metrics"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.name=ease"], "is solved in closed form and cannot be taught"),
        (["split.kind=random"], "its split differs"),
        (["distill.temprature=2"], "Did you mean 'temperature'"),
        (["distill.score_weight=0"], "the teacher teaches nothing"),
    ],
)
def test_bad_input_is_one_paragraph(arguments: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(flow.table_of(flow.data(), "mf")))
    if arguments == ["model.name=ease"]:
        path.write_text(json.dumps(flow.table_of(flow.data(), "ease")))
    answer = graphrec("distill", teacher_run(), path, *arguments, "--out", tmp_path / "out")
    assert message in flow.refusal(answer)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_named(student: Path, tmp_path: Path) -> None:
    answer = graphrec("distill", tmp_path / "none", student, "--out", tmp_path / "out")
    assert f"{tmp_path / 'none'} holds no result.json" in flow.refusal(answer)


def test_another_student_needs_another_folder(student: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert graphrec("distill", teacher_run(), student, "--out", out, "--json").code == 0
    answer = graphrec("distill", teacher_run(), student, "model.dim=3", "--out", out)
    assert "model.dim differ" in flow.refusal(answer)


@pytest.mark.parametrize("command", ["tune", "modality", "missing"])
def test_a_study_trains_without_a_teacher(command: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    table = flow.table_of(flow.data()) | {"distill": {"teacher": str(teacher_run())}}
    path.write_text(json.dumps(table))
    answer = graphrec(command, path, "--out", tmp_path / "s")
    assert f"graphrec {command} trains without a teacher" in flow.refusal(answer)
