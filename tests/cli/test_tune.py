"""The command ``graphrec tune``."""

import csv
import json
import sys
from pathlib import Path

import pytest

from graphrec import ConfigError
from graphrec.cli.tune import seconds_in
from graphrec.core.files import write_json
from graphrec.tuning import search as search_module
from tests import flow
from tests.flow import graphrec
from tests.tuning import small


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


def write(folder: Path, name: str, table: flow.Table) -> Path:
    write_json(folder / f"{name}.json", table)
    return folder / f"{name}.json"


def test_several_configurations_get_the_same_budget(tmp_path: Path) -> None:
    mf = write(tmp_path, "mf", small.table_of())
    knn = flow.table_of(flow.data(), "itemknn") | {"tune": {"final_seeds": 1}}
    csv_file = tmp_path / "studies.csv"
    answer = graphrec(
        "tune", mf, write(tmp_path, "itemknn", knn), "--trials", "3", "--out", tmp_path / "s",
        "--append", csv_file, "--set", "evaluation.top_k=[5]",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    table = [line.split() for line in answer.out.splitlines() if "3/0/0" in line]
    assert [line[1:3] for line in table] == [["mf,", "best"], ["itemknn,", "best"]]
    with csv_file.open() as file:
        lines = list(csv.DictReader(file))
    assert [line["budget_trials"] for line in lines] == ["3", "3"]
    assert {line["split"] for line in lines} == {lines[0]["split"]}
    assert all(float(line["seconds"]) >= 0 for line in lines)


def test_the_answer_can_be_json(tmp_path: Path) -> None:
    answer = graphrec(
        "tune", write(tmp_path, "mf", small.table_of()), "--trials", "2", "--time", "1h",
        "--out", tmp_path / "s", "--json",
    )  # fmt: skip
    assert answer.code == 0
    (study,) = json.loads(answer.out)
    assert study["budget"] == {"trials": 2, "seconds": 3600.0}
    assert study["name"] == "mf"


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("45s", 45), ("1h30m", 5400), ("1h1s", 3601)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "0s", "30m1h", "-1h", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no duration"):
        seconds_in(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--join"], "--join needs the --storage"),
        (["--time", "soon"], "--time 'soon' is no duration"),
        (["--set", "tune.sampler=tep"], "tune.sampler"),
        (["--set", "tune.trails=9"], "Did you mean 'trials'"),
        (["--set", "run.name=other", "--storage", "/proc/s.journal"], "cannot be used"),
    ],
)
def test_bad_input_is_one_paragraph(arguments: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "mf", small.table_of())
    assert message in flow.refusal(graphrec("tune", path, "--out", tmp_path / "s", *arguments))


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "mf", small.table_of())
    real = sys.modules["graphrec.tuning"].find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "graphrec.tuning.find_spec", lambda name: None if name == "optuna" else real(name)
    )
    message = flow.refusal(graphrec("tune", path, "--out", tmp_path / "s"))
    assert "Tuning needs optuna: install with pip install 'graphrec[tune]'" in message


def test_importing_graphrec_does_not_import_what_is_an_extra() -> None:
    import subprocess

    extras = "{'optuna', 'matplotlib'}"
    code = f"import graphrec, graphrec.cli.main, sys; sys.exit(bool({extras} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
