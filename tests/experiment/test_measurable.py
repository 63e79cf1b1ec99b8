"""Splits that leave nothing to measure are refused before training; users left out are counted."""

import json
import shutil
from pathlib import Path

import pytest

from graphrec import ConfigError, RunConfig, build_config, read_result, run
from tests import flow
from tests.flow import Table


def table_of(folder: Path, rows: list[str], model: str = "mf", **split: object) -> Table:
    """The raw configuration of data with two users for each of the given histories."""
    lines = [
        f"u{number}x{twin},{item}"
        for number, items in enumerate(rows)
        for twin in (0, 1)
        for item in items
    ]
    (folder / "pairs.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    return {
        "data": {"path": str(folder / "pairs.csv")},
        "split": {"kind": "random", **split},
        "model": {"name": model},
        "training": {"max_epochs": 1},
        "evaluation": {"top_k": [2], "valid_metric": "recall@2"},
        "run": {"recommend_k": 2, "device": "cpu"},
    }


def refused(config: RunConfig, out: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        run(config, out)
    assert not (out / "log.jsonl").exists()
    return str(caught.value)


LONG = ["abcde", "abcdf", "bcdef"]


@pytest.mark.parametrize("model", ["mf", "popular"])
def test_a_test_part_of_ratio_0_is_refused(tmp_path: Path, model: str) -> None:
    """A run of 100 epochs ended with: none of the ranked users has a relevant item."""
    config = build_config(table_of(tmp_path, LONG, model, ratios=[0.9, 0.1, 0.0]))
    message = refused(config, tmp_path / "run")
    assert "No user has a test item" in message
    assert "split.ratios = [0.9, 0.1, 0.0] gives the test part nothing: raise the third" in message


def test_a_valid_part_of_ratio_0_is_refused_where_it_chooses_the_epoch(tmp_path: Path) -> None:
    table = table_of(tmp_path, LONG, ratios=[0.8, 0.0, 0.2])
    message = refused(build_config(table), tmp_path / "run")
    assert "gives the valid part nothing: raise the second number" in message
    assert "evaluation.selection = 'last_epoch'" in message
    result = run(build_config(table, ["evaluation.selection=last_epoch"]), tmp_path / "run")
    assert result.metrics["valid"] == {}


@pytest.mark.parametrize("kind", ["random", "leave_one_out"])
def test_users_too_short_for_three_parts_are_refused(tmp_path: Path, kind: str) -> None:
    config = build_config(table_of(tmp_path, ["ab", "bc", "c"], kind=kind))
    message = refused(config, tmp_path / "run")
    assert "Every user has fewer than 3 interactions, which all stay in train" in message


def test_an_empty_given_test_part_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, LONG, "popular")
    text = (tmp_path / "pairs.csv").read_text().splitlines()
    lines = [f"{text[0]},part", *(f"{line},{n % 2}" for n, line in enumerate(text[1:]))]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    table["data"]["label"] = "part"  # type: ignore[index]
    table["split"] = {"kind": "given"}
    assert "The data give no test part" in refused(build_config(table), tmp_path / "run")


def test_users_left_out_are_counted_in_the_log_and_the_result(tmp_path: Path) -> None:
    config = build_config(table_of(tmp_path, [*LONG, "ab", "c"], ratios=[0.6, 0.2, 0.2]))
    result = run(config, tmp_path / "run")
    assert result.users_left_out == {"valid": 4, "test": 4}
    assert result.num_users["test"] == result.num_users["valid"] == 6
    assert read_result(str(tmp_path / "run")).users_left_out == result.users_left_out
    events = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    told = [each for each in events if each["event"] == "left_out"]
    assert [(each["part"], each["users"]) for each in told] == [("valid", 4), ("test", 4)]
    assert told[1]["message"].startswith("4 of 10 users have no test item")


def test_a_result_from_before_they_were_counted_still_loads(tmp_path: Path) -> None:
    shutil.copytree(flow.finished(), tmp_path / "run")
    path = tmp_path / "run/result.json"
    record = json.loads(path.read_text())
    del record["users_left_out"]
    path.write_text(json.dumps(record))
    assert read_result(tmp_path / "run").users_left_out == {}


def test_nothing_is_told_where_all_are_measured() -> None:
    assert read_result(flow.finished()).users_left_out == {"valid": 0, "test": 0}
    assert "left_out" not in (flow.finished() / "log.jsonl").read_text()
