"""What a study leaves for people: plots, a page, a line in a results file, a dashboard."""

import csv
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from graphrec import DataError, load_config
from graphrec.config.identity import experiment_identity
from graphrec.report.tables import FINGERPRINTS
from graphrec.tuning.report import write_report
from graphrec.tuning.result import append_studies, read_study
from graphrec.tuning.work import quiet
from tests.tuning import small

PLOTS = {
    "history", "importance", "slices", "parallel-coordinates", "validation-curves", "time-line",
}  # fmt: skip


def study() -> optuna.Study:
    return optuna.load_study(study_name="mf", storage=f"sqlite:///{small.finished()}/study.db")


def test_there_is_a_drawing_of_everything() -> None:
    folder = small.finished() / "plots"
    assert {path.stem for path in folder.iterdir()} == PLOTS
    for path in folder.iterdir():
        assert ET.parse(path).getroot().tag.endswith("svg")
    assert "training.lr" in (folder / "importance.svg").read_text()


def test_the_page_needs_no_other_file() -> None:
    page = (small.finished() / "report.html").read_text()
    assert page.count("<svg") == len(PLOTS)
    assert not re.search(r"(src|href)=['\"](?!#|data:)", page)
    assert "maximize ndcg@5 on valid" in page
    assert "final evaluation of" in page
    assert page.count("<tr>") >= 5


def test_several_objectives_are_drawn_as_a_front(tmp_path: Path) -> None:
    with quiet():
        several = optuna.create_study(directions=["maximize", "minimize"])
        several.set_user_attr("objectives", ["recall@5", "parameters"])
        for x in range(6):
            trial = several.ask()
            trial.set_user_attr("worker", {"host": "h", "pid": 1})
            value = trial.suggest_float("x", x, x + 0.5)
            several.tell(trial, (value, value))
        objectives = {"recall@5": "maximize", "parameters": "minimize"}
        write_report(
            tmp_path, several, replace(read_study(small.finished()), objectives=objectives)
        )
    assert (tmp_path / "plots/pareto-front.svg").exists()
    assert not (tmp_path / "plots/validation-curves.svg").exists()


def test_one_trial_is_enough_for_a_page(tmp_path: Path) -> None:
    with quiet():
        single = optuna.create_study(direction="maximize")
        single.set_user_attr("objectives", ["ndcg@5"])
        trial = single.ask()
        trial.set_user_attr("worker", {"host": "h", "pid": 1})
        trial.suggest_float("x", 0, 1)
        single.tell(trial, 0.5)
        write_report(tmp_path, single, read_study(small.finished()))
    assert "History" in (tmp_path / "report.html").read_text()


def test_a_study_is_one_line_of_a_results_file(tmp_path: Path) -> None:
    result = read_study(small.finished())
    path = tmp_path / "studies.csv"
    assert append_studies(path, [result]) == 1
    assert append_studies(path, [result]) == 0
    with path.open() as file:
        (line,) = csv.DictReader(file)
    assert line["objective"] == "maximize ndcg@5"
    assert line["budget_trials"] == "4"
    assert float(line["best"]) == pytest.approx(result.best["ndcg@5"], abs=1e-6)
    assert line["test best recall@10"] == ""  # measured at 3 and 5 only
    settings = load_config(small.finished() / "config.json")
    assert line["config_hash"] == experiment_identity(settings, searched=True)[:16]
    for column, key in FINGERPRINTS.items():
        assert line[column] == result.fingerprints[key][:16]
    assert append_studies(path, [replace(result, config_hash="f" * 64)]) == 1


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no finished study"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text('{"schema_version": 99}')
    with pytest.raises(DataError, match=r"study\.json has schema version 99, .*reads 1\."):
        read_study(tmp_path)


def test_the_dashboard_opens_on_the_storage() -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(optuna.storages.RDBStorage(f"sqlite:///{small.finished()}/study.db"))
    request: dict[str, object] = {"PATH_INFO": "/api/studies", "wsgi.input": BytesIO()}
    setup_testing_defaults(request)
    told: list[str] = []
    body = b"".join(app(request, lambda status, *_: told.append(status)))
    assert told == ["200 OK"]
    assert b'"study_name": "mf"' in body
