"""Cheap baselines beside every run: which are chosen, and that a better one is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from graphrec import Result, read_result, run
from graphrec.config.identity import experiment_identity
from graphrec.data import Interactions
from graphrec.experiment.baselines import (
    COMMON_ITEMS,
    EASE_ROWS,
    better_baselines,
    chosen_baselines,
)
from graphrec.experiment.log import RunLog
from graphrec.experiment.result import BetterBaseline
from graphrec.studies.variants import base_of
from tests import flow

CHEAP = ("popular", "itemknn", "ease")
UNTRAINED = ("training.max_epochs=1", "training.lr=1e-9", "run.seed=2")


def pairs(num_users: int, num_items: int, items_of_first: int = 1) -> Interactions:
    """The first user has some items, every other user has item 0."""
    users = np.r_[np.zeros(items_of_first), np.arange(1, num_users)].astype(np.int32)
    items = np.r_[np.arange(items_of_first), np.zeros(num_users - 1)].astype(np.int32)
    return Interactions(users, items, num_users, num_items)


def events_of(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture(scope="module")
def weak() -> tuple[Path, Result]:
    """A model that has learned nothing yet, beside the baselines of every run."""
    folder = flow.finished("mf", *UNTRAINED)
    return folder, read_result(folder)


def test_a_run_measures_the_cheap_baselines_without_being_asked(
    weak: tuple[Path, Result],
) -> None:
    """The README's own example was behind ItemKNN and EASE, and nothing said so."""
    _, result = weak
    assert tuple(result.baselines) == CHEAP
    for name in CHEAP:
        alone = read_result(flow.finished(name, "evaluation.baselines=[]"))
        assert result.baselines[name] == alone.metrics["test"]


def test_a_better_baseline_is_in_the_result_and_in_the_log(weak: tuple[Path, Result]) -> None:
    folder, result = weak
    own = result.metrics["valid"]["ndcg@5"]
    alone = {
        name: read_result(flow.finished(name, "evaluation.baselines=[]")).metrics["valid"]
        for name in CHEAP
    }
    assert {one.name: one.value for one in result.better_baselines} == {
        name: each["ndcg@5"] for name, each in alone.items() if each["ndcg@5"] > own
    }
    values = [one.value for one in result.better_baselines]
    assert values
    assert values == sorted(values, reverse=True)
    assert {(one.part, one.metric, one.model) for one in result.better_baselines} == {
        ("valid", "ndcg@5", own)
    }
    said = [event["message"] for event in events_of(folder, "baseline_better")]
    assert said == [str(one) for one in result.better_baselines]
    assert str(BetterBaseline("ease", "valid", "ndcg@20", 0.1209, 0.11)) == (
        "ease is better than the model: ndcg@20 0.1209 against 0.1100 on valid"
    )


def test_the_command_says_it_plainly(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "mf", UNTRAINED)
    answer = flow.graphrec("run", config, "--out", tmp_path / "run")
    better = read_result(tmp_path / "run").better_baselines
    assert better
    for one in better:
        assert f"{one}." in answer.out
    answer = flow.graphrec("run", config, "--out", tmp_path / "other", "--json")
    listed = json.loads(answer.out)["better_baselines"]
    assert [one["name"] for one in listed] == [one.name for one in better]


def test_without_a_validation_part_models_are_compared_on_test(tmp_path: Path) -> None:
    overrides = ["split.ratios=[0.8, 0.0, 0.2]", "evaluation.selection=last_epoch", *UNTRAINED]
    result = run(flow.config_of(flow.data(), "mf", overrides), tmp_path / "run")
    own = result.metrics["test"]["ndcg@5"]
    better = {name for name, each in result.baselines.items() if each["ndcg@5"] > own}
    assert {one.name for one in result.better_baselines} == better
    assert {one.part for one in result.better_baselines} == {"test"}


def test_a_metric_that_is_not_reported_still_compares(tmp_path: Path) -> None:
    overrides = ['evaluation.metrics=["recall"]', *UNTRAINED]
    result = run(flow.config_of(flow.data(), "mf", overrides), tmp_path / "run")
    assert {one.metric for one in result.better_baselines} == {"ndcg@5"}


def test_an_empty_list_switches_baselines_off() -> None:
    result = read_result(flow.finished("popular", "evaluation.baselines=[]"))
    assert result.baselines == {}
    assert result.better_baselines == []


def test_a_model_is_no_baseline_of_its_own() -> None:
    assert tuple(read_result(flow.finished("ease")).baselines) == ("popular", "itemknn")


def test_only_strictly_better_baselines_count_and_the_best_comes_first() -> None:
    log = RunLog()
    found = better_baselines("ndcg@20", "valid", 0.2, {"a": 0.2, "b": 0.3, "c": 0.4}, log)
    assert [(one.name, one.value) for one in found] == [("c", 0.4), ("b", 0.3)]


def test_a_baseline_that_is_not_cheap_on_the_data_is_left_out_and_that_is_said(
    tmp_path: Path,
) -> None:
    config, log = flow.config_of(flow.data(), "mf"), RunLog()
    rows = EASE_ROWS + 1
    heavy = int(COMMON_ITEMS**0.5) + 1
    assert chosen_baselines(config, pairs(rows, EASE_ROWS), log) == CHEAP
    assert chosen_baselines(config, pairs(rows, rows), log) == ("popular", "itemknn")
    assert chosen_baselines(config, pairs(2, heavy, heavy), log) == ("popular", "ease")
    log.write_to(tmp_path / "log.jsonl")
    ease, itemknn = (event["message"] for event in events_of(tmp_path, "baseline_skipped"))
    assert f"ease is left out: it inverts a matrix of {rows:,} rows" in str(ease)
    assert "itemknn is left out: it counts" in str(itemknn)
    assert "evaluation.baselines" in str(ease)


def test_a_baseline_that_does_not_fit_into_memory_is_left_out(tmp_path: Path) -> None:
    config, log = flow.config_of(flow.data(), "mf", ["run.memory_mb=30"]), RunLog()
    assert chosen_baselines(config, pairs(4000, 4000), log) == ("popular", "itemknn")
    log.write_to(tmp_path / "log.jsonl")
    (event,) = events_of(tmp_path, "baseline_skipped")
    assert "of memory, and the limit is 31,457,280" in str(event["message"])


def test_named_baselines_are_run_however_large_the_data_are() -> None:
    config = flow.config_of(flow.data(), "mf", ['evaluation.baselines=["ease"]'])
    large = pairs(EASE_ROWS + 1, EASE_ROWS + 1)
    assert chosen_baselines(config, large, RunLog()) == ("ease",)


def test_studies_measure_no_baselines() -> None:
    """Each variant and seed would fit them again."""
    assert base_of(flow.config_of(flow.data(), "mf")).evaluation.baselines == ()


def test_a_run_with_the_usual_baselines_is_the_experiment_without_any() -> None:
    """Identities on record are those of configurations that had none by default."""
    usual, none, other = (
        experiment_identity(flow.config_of(flow.data(), "mf", overrides))
        for overrides in ([], ["evaluation.baselines=[]"], ['evaluation.baselines=["ease"]'])
    )
    assert usual == none
    assert other != usual
