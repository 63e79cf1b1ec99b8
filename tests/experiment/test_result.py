"""The record of a run: written, read, and compared with published numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from graphrec import DataError, read_result
from graphrec.core.environment import environment, version_of
from graphrec.experiment.result import (
    Verdict,
    compare,
    require_measured,
)
from tests import flow


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    result = read_result(flow.finished())
    verdict = Verdict("recall@5", 0.5, 0.25, 5e-5, "below")
    result = replace(result, verdicts=[verdict], seed=7)
    result.write(tmp_path / "result.json")
    assert read_result(tmp_path) == result


def test_the_schema_version_is_in_the_file() -> None:
    content = json.loads((flow.finished() / "result.json").read_text())
    assert content["schema_version"] == 2


@pytest.mark.parametrize(
    ("ours", "tolerance", "verdict"),
    [
        (0.5, {}, "match"),
        (0.50004, {}, "match"),
        (0.50006, {}, "above"),
        (0.49994, {}, "below"),
        (0.49, {"recall@20": 0.02}, "match"),
        (0.47, {"recall@20": 0.02}, "below"),
        (0.53, {"recall@20": 0.02}, "above"),
    ],
)
def test_a_verdict_goes_by_the_tolerance(
    ours: float, tolerance: dict[str, float], verdict: str
) -> None:
    (found,) = compare({"recall@20": 0.5}, tolerance, {"recall@20": ours, "ndcg@20": 0.1})
    assert (found.verdict, found.published, found.ours) == (verdict, 0.5, ours)
    assert found.tolerance == tolerance.get("recall@20", 5e-5)


def test_a_published_metric_without_ours_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'recall@25'.*Did you mean 'recall@20'"):
        compare({"recall@25": 0.5}, {}, {"recall@20": 0.5})
    with pytest.raises(DataError, match=r"evaluation\.top_k"):
        require_measured(["hit@1"], {"ndcg@20"})


def test_the_environment_tells_what_computed_the_numbers() -> None:
    found = environment()
    versions = found["versions"]
    assert isinstance(versions, dict)
    assert versions["torch"] == version_of("torch")
    assert None not in versions.values()
    assert set(found) == {"python", "platform", "versions", "git"}


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert version_of("no-such-package-as-this") is None


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not finished.*--resume"):
        read_result(tmp_path)
