"""A run whose files lie elsewhere by now is the same run: files are compared by what they hold."""

import json
import logging
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from graphrec import ConfigError, DataError, item_embeddings, read_result, recommend, run
from graphrec.core.config import Json
from tests import flow
from tests.test_resume import Killed, same, stop_at_checkpoint


def finished(folder: Path, model: str = "mf") -> Path:
    """A finished run on data of its own, which have moved from ``old`` to ``new`` since."""
    flow.write_data(folder / "old")
    run(flow.config_of(folder / "old", model), folder / "run")
    (folder / "old").rename(folder / "new")
    return folder / "run"


def new_paths(folder: Path) -> list[str]:
    return [
        f"data.path={folder / 'new/pairs.csv'}",
        f"data.items={folder / 'new/items.csv'}",
    ]


def test_recommend_says_what_has_moved_and_takes_the_new_place(tmp_path: Path) -> None:
    out = finished(tmp_path)
    message = flow.refusal(flow.graphrec("recommend", out, "--user", "u01"))
    assert f"nothing lies at {tmp_path}/old/pairs.csv any more" in message
    assert "data.path=PATH" in message
    words = ("recommend", out, *new_paths(tmp_path), "--user", "u01", "--k", "5", "--json")
    answer = flow.graphrec(*words)
    assert answer.code == 0, answer.err
    stored = pl.read_parquet(out / "recommendations.parquet").filter(user="u01")
    assert [row["item"] for row in json.loads(answer.out.splitlines()[-1])] == [*stored["item"]]


def test_embed_takes_the_new_place(tmp_path: Path) -> None:
    out = finished(tmp_path)
    words = ("embed", out, *new_paths(tmp_path), "--out", tmp_path / "v.parquet")
    assert flow.graphrec(*words).code == 0
    assert pl.read_parquet(tmp_path / "v.parquet").equals(item_embeddings(out, new_paths(tmp_path)))


@pytest.mark.parametrize("model", ["mf", "ease"])
def test_resume_takes_the_new_place(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.write_data(tmp_path / "old")
    module = sys.modules[run.__module__]
    with monkeypatch.context() as patch:
        if model == "mf":
            patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, True))
        else:
            patch.setattr(module, "write_tables", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            run(flow.config_of(tmp_path / "old", model), tmp_path / "run")
    (tmp_path / "old").rename(tmp_path / "new")
    run(flow.config_of(tmp_path / "new", model), tmp_path / "run", resume=True)
    same(tmp_path / "run", flow.finished(model))
    assert len(recommend(tmp_path / "run", ["u01"], 3)) == 3


def test_a_finished_run_is_returned_from_its_new_place(tmp_path: Path) -> None:
    out = finished(tmp_path)
    before = (out / "result.json").read_bytes()
    result = run(flow.config_of(tmp_path / "new", "mf"), out, resume=True)
    assert result == read_result(out)
    assert (out / "result.json").read_bytes() == before
    assert len(recommend(out, ["u01"], 3)) == 3  # without a word about the move


@pytest.mark.parametrize("model", ["mf", "ease"])
@pytest.mark.parametrize("stopped", [False, True])
def test_other_data_at_the_new_place_are_refused(
    model: str, stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.write_data(tmp_path / "old")
    module = sys.modules[run.__module__]
    with monkeypatch.context() as patch:
        if stopped:
            patch.setattr(module, "fit_model", lambda *_: (_ for _ in ()).throw(Killed()))
        try:
            run(flow.config_of(tmp_path / "old", model), tmp_path / "run")
        except Killed:
            assert stopped
    flow.write_data(tmp_path / "new")
    lines = (tmp_path / "new/pairs.csv").read_text().splitlines()
    (tmp_path / "new/pairs.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="run on other data: dataset, split differ"):
        run(flow.config_of(tmp_path / "new", model), tmp_path / "run", resume=True)
    if not stopped:
        with pytest.raises(DataError, match="has changed since the run"):
            recommend(tmp_path / "run", ["u01"], 3, overrides=new_paths(tmp_path))


@pytest.mark.parametrize("override", ["model.dim=4", "run.seed=3", "training.lr=0.1"])
def test_an_override_that_makes_another_experiment_is_refused(override: str) -> None:
    key = override.partition("=")[0].replace(".", r"\.")
    with pytest.raises(ConfigError, match=f"^{key} of .* cannot be changed afterwards"):
        recommend(flow.finished("mf"), ["u01"], 3, overrides=[override])


def test_the_machine_may_be_another_one() -> None:
    overrides = ["run.device=auto", "evaluation.memory_mb=64"]
    found = recommend(flow.finished("mf"), ["u01"], 3, overrides=overrides)
    assert found.equals(recommend(flow.finished("mf"), ["u01"], 3))


def test_a_teacher_is_found_where_its_student_has_the_data(tmp_path: Path) -> None:
    teacher = finished(tmp_path)
    student = flow.write_config(tmp_path / "new", "mf", ["model.dim=4"])
    answer = flow.graphrec("distill", teacher, student, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert {line["role"] for line in json.loads(answer.out.splitlines()[-1])["lines"]} == {
        *("teacher", "alone", "taught")
    }


# Folders under runs/ that --resume looks through.


def newest(runs: Path, name: str, table: Json) -> Path:
    (runs / name).mkdir(parents=True)
    (runs / name / "config.json").write_text(json.dumps(table))
    return runs / name


def test_folders_of_other_versions_and_broken_ones_are_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them stopped every --resume, with an error that did not even name it."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    config = flow.write_config(flow.data(), "mf")
    table = flow.config_of(flow.data(), "mf").model_dump(mode="json")
    shutil.copytree(flow.finished("mf"), runs / "20260101-000000-mf")
    newest(runs, "20270101-000000-gone", table | {"gone": {}})
    newest(runs, "20270102-000000-list", [])
    (newest(runs, "20270103-000000-cut", {}) / "config.json").write_text('{"model": ')
    newest(runs, "20270104-000000-own", table | {"model": {"name": "not_there:Model"}})
    (runs / "20270105-000000-folder/config.json").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        answer = flow.graphrec("run", config, "--resume", "--json")
    assert answer.code == 0, answer.err
    last = json.loads(answer.out.splitlines()[-1])
    assert last["run_dir"] == str(Path("runs/20260101-000000-mf"))
    for name in ("gone", "list", "cut", "folder"):
        assert f"-{name} is left out" in caplog.text
    assert "-own is" not in caplog.text  # of another model, which is not even imported


def test_resume_looks_for_the_run_on_these_files_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        flow.write_data(tmp_path / name)
    run(flow.config_of(tmp_path / "a", "mf"), tmp_path / "runs/20260101-000000-mf")
    run(flow.config_of(tmp_path / "b", "mf"), tmp_path / "runs/20270101-000000-mf")

    def resumed(folder: str) -> str:
        config = flow.write_config(tmp_path / folder, "mf")
        answer = flow.graphrec("run", config, "--resume", "--json")
        assert answer.code == 0, answer.err
        return Path(json.loads(answer.out.splitlines()[-1])["run_dir"]).name

    assert resumed("a") == "20260101-000000-mf"
    (tmp_path / "b").rename(tmp_path / "c")
    assert resumed("c") == "20270101-000000-mf"
