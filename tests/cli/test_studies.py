"""The commands ``graphrec modality`` and ``graphrec missing``."""

import csv
import json
from pathlib import Path

import pytest

from graphrec.core.files import write_json
from tests import flow
from tests.flow import graphrec
from tests.studies import worlds


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    table = worlds.table_of("image")
    table["training"] |= {"max_epochs": 2}
    write_json(tmp_path / "toy.json", table)
    return tmp_path / "toy.json"


def test_modality_prints_rows_and_a_verdict(toy: Path, tmp_path: Path) -> None:
    csv_file = tmp_path / "rows.csv"
    answer = graphrec(
        "modality", toy, "--seeds", "1", "--out", tmp_path / "s", "--append", csv_file,
        "--metric", "recall@10", "--set", "model.dim=4",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    for text in ("recall@10", "full", "shuffled image", "95% interval", "image ", "report.html"):
        assert text in answer.out
    with csv_file.open() as file:
        assert next(csv.DictReader(file))["variant"] == "full"
    again = graphrec(
        "modality", toy, "--seeds", "1", "--out", tmp_path / "s", "--metric", "recall@10",
        "--set", "model.dim=4", "--json",
    )  # fmt: skip
    assert json.loads(again.out)["verdicts"][0]["modality"] == "image"


def test_missing_prints_rows_and_reasons(toy: Path, tmp_path: Path) -> None:
    answer = graphrec(
        "missing", toy, "--seeds", "1", "--out", tmp_path / "s", "--rates", "0, .5",
        "--mechanisms", "random", "--strategies", "mask,mean,gan", "--modalities", "image",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    for text in ("complete", "random 0.5 mean", "Skipped random 0.5 gan: "):
        assert text in answer.out


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("missing", ["--rates", "0,1.0"], "--rates: 1 is no rate"),
        ("missing", ["--rates", "0,many"], "--rates: 'many' is no number"),
        ("missing", ["--strategies", "maen"], "Did you mean 'mean'"),
        ("modality", ["--metric", "ndgc@20"], "Did you mean 'ndcg@20'"),
        ("modality", ["--set", "controls.imag=noise"], "Did you mean 'image'"),
    ],
)
def test_bad_input_is_one_paragraph(
    command: str, arguments: list[str], message: str, toy: Path, tmp_path: Path
) -> None:
    answer = graphrec(command, toy, "--out", tmp_path / "s", *arguments)
    assert message in flow.refusal(answer)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("command", ["modality", "missing"])
def test_a_missing_extra_is_named(
    command: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphrec.studies.find_spec", lambda name: None)
    message = flow.refusal(graphrec(command, toy, "--out", tmp_path / "s"))
    assert f"graphrec {command} needs matplotlib: install with pip install 'graphrec" in message
