"""``graphrec check`` finds what a run would stumble over: files and columns that are not there."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests import flow
from tests.flow import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    flow.write_data(tmp_path)
    return tmp_path


def check(folder: Path, table: Table, *options: str) -> flow.Answer:
    (folder / "config.json").write_text(json.dumps(table))
    return flow.graphrec("check", folder / "config.json", *options)


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ('data.path="gone.csv"', "gone.csv"),
        ("data.user=customer", "'customer'"),
        ("data.time=date", "'date'"),
        ("data.items_id=product", "'product'"),
        ('data.items="gone.csv"', "gone.csv"),
        ("data.item_title=heading", "'heading'"),
        ('features.text.columns=["body"]', "[features.text] the item table has no column 'body'"),
        ('data.clean.rules=[{column="price", min=1}]', "'price'"),
    ],
)
def test_what_is_not_there_is_found_without_a_run(
    override: str, culprit: str, folder: Path
) -> None:
    """``check`` said "valid" of a configuration whose file did not exist."""
    table = flow.table_of(folder)
    assert culprit in flow.refusal(check(folder, table, "--set", override))
    answer = check(folder, table, "--set", override, "--no-data")
    assert answer.code == 0, answer.err


def test_files_of_features_must_be_there(folder: Path) -> None:
    table = flow.table_of(folder)
    features = table["features"]
    assert isinstance(features, dict)
    features["image"] = {"encoder": "file", "path": str(folder / "f.npy"), "ids": "gone.txt"}
    message = flow.refusal(check(folder, table))
    assert "[features.image] path: cannot read" in message and "f.npy" in message
    np.save(folder / "f.npy", np.zeros((2, 2)))
    assert "[features.image] ids: cannot read" in flow.refusal(check(folder, table))


def test_a_sound_configuration_is_valid_and_warnings_are_shown(folder: Path) -> None:
    answer = check(folder, flow.table_of(folder))
    assert answer.code == 0, answer.err
    with (folder / "pairs.csv").open("a") as file:
        file.write("nan,i01,5\n")
    assert "'nan' in 1 row" in check(folder, flow.table_of(folder)).err


def test_files_of_a_known_data_set_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    table: Table = {"data": {"name": "microlens"}, "model": {"name": "popular"}}
    table["split"] = {"kind": "given"}
    answer = check(tmp_path, table)
    assert answer.code == 2
    assert "microlens.inter" in answer.err and "--no-data" in answer.err
    assert check(tmp_path, table, "--no-data").code == 0
