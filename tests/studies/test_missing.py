"""``graphrec missing`` from the configuration to the curves."""

import csv
import json
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from graphrec import ConfigError, read_result
from graphrec.studies import study_missing
from graphrec.studies.missing import Grid
from graphrec.studies.record import VariantsResult, reasons
from tests import flow
from tests.studies import worlds

GRID = Grid((0.0, 0.9), ("random", "modality"), ("mask", "mean", "token", "regression"))


@cache
def finished() -> tuple[Path, VariantsResult]:
    """A study of one modality; tests must not change it."""
    folder = worlds.folder() / "missing"
    return folder, study_missing(worlds.config_of("image"), folder, GRID, seeds=1)


def test_less_of_the_planted_modality_costs() -> None:
    found = {row.label: row for row in finished()[1].rows}
    assert found["random 0.9 mask"].mean < found["complete"].mean


def test_every_strategy_is_compared_with_mask() -> None:
    for row in finished()[1].rows:
        masked = row.attributes["strategy"] in ("mask", None)
        compared = not masked and not row.skipped
        assert (row.difference is not None) == compared, row.label
        if compared:
            assert row.against.split()[-1] == "mask"
            assert row.against.split()[:-1] == row.label.split()[:-1]


def test_what_cannot_be_filled_is_said_once() -> None:
    (reason,) = reasons(finished()[1])
    assert reason.startswith("Skipped random 0.9 regression, modality image 0.9 regression: ")
    assert "fills a modality from another one" in reason


def test_the_runs_are_those_of_the_cells() -> None:
    folder, result = finished()
    trained = {row.folder: row for row in result.rows if not row.skipped}
    assert {path.parent.name for path in folder.glob("*/result.json")} == {
        f"{name}-seed1" for name in trained
    }
    for name, row in trained.items():
        run = read_result(folder / f"{name}-seed1")
        assert run.config["missing"]["rate"] == row.attributes["rate"]
        assert run.name == f"toy, {row.label}"


def test_all_files_are_there_and_say_the_same() -> None:
    folder, result = finished()
    record = json.loads((folder / "missing.json").read_text())
    assert [row["label"] for row in record["rows"]] == [row.label for row in result.rows]
    with (folder / "missing.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["mechanism"] for line in lines} == {"", "random", "modality"}
    assert lines[4]["skipped"]
    svg = (folder / "missing.svg").read_text()
    assert ET.fromstring(svg).tag.endswith("svg")
    for text in ("random", "modality image", "mask", "mean", "token"):
        assert text in svg
    assert "regression" not in svg
    assert "Skipped" in (folder / "report.html").read_text()


def test_more_of_the_grid_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    config = worlds.short_of("image")
    first = study_missing(config, tmp_path, Grid((0.5,), ("random",), ("mask",)), seeds=1)
    more = study_missing(config, tmp_path, Grid((0.5,), ("random",), ("mask", "mean")), seeds=1)
    assert [row.values for row in more.rows[:2]] == [row.values for row in first.rows]
    assert more.rows[2].against == "random 0.5 mask"


def test_a_model_without_modalities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="graphrec missing: model 'mf' reads no modality"):
        study_missing(flow.config_of(flow.data(), "mf"), tmp_path)
