"""Paper configurations: each loads, says how to run it and where its numbers stand."""

import tomllib
from pathlib import Path

import pytest

from graphrec import RunConfig, load_config
from graphrec.evaluation import parse_metric
from graphrec.evaluation.metrics import expand
from graphrec.papers.cite import bibliography
from graphrec.papers.configs import paper_configs

CONFIGS = paper_configs()
REPRODUCED = [path for path in CONFIGS if "paper" in tomllib.loads(path.read_text("utf-8"))]


def name_of(path: Path) -> str:
    return path.stem


@pytest.fixture(params=CONFIGS, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(params=REPRODUCED, ids=name_of)
def reproduced(request: pytest.FixtureRequest) -> tuple[Path, RunConfig]:
    return request.param, load_config(request.param)


def test_there_are_some() -> None:
    assert REPRODUCED
    assert "quickstart" in map(name_of, CONFIGS)


def test_it_loads_under_its_own_name(path: Path) -> None:
    assert load_config(path).run.name == path.stem


def test_its_first_line_is_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    command = first.removeprefix("# ").split()
    assert command[:3] == ["graphrec", command[1], f"paper_configs/{path.name}"]
    assert command[1] in ("run", "reproduce")


def test_it_names_no_path_of_a_machine(path: Path) -> None:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert "name" in table["data"]


def test_its_source_is_in_the_bibliography(reproduced: tuple[Path, RunConfig]) -> None:
    path, config = reproduced
    assert config.paper is not None
    assert config.paper.key in bibliography()
    assert config.paper.table
    assert path.stem.startswith(config.paper.key)


def test_its_name_says_paper_model_and_data_set(reproduced: tuple[Path, RunConfig]) -> None:
    path, config = reproduced
    assert config.paper is not None
    assert path.stem == f"{config.paper.key}_{config.model.name}_{config.data.name}"


def test_it_publishes_metrics_that_it_measures(reproduced: tuple[Path, RunConfig]) -> None:
    _, config = reproduced
    assert config.published
    measured = expand(config.evaluation.metrics, config.evaluation.top_k)
    for metric, value in config.published.items():
        parse_metric(metric)
        assert metric in measured
        assert 0 < value < 1
    assert set(config.tolerance) <= set(config.published)
    assert all(0 < allowed < 0.05 for allowed in config.tolerance.values())
