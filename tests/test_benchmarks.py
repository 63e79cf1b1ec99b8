"""The benchmark page and the results files belong together and to the configurations."""

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from graphrec.config import load_config
from graphrec.config.identity import experiment_identity
from graphrec.models import MODELS
from graphrec.report.tables import RUN_KEY

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
CONFIGS = sorted((ROOT / "paper_configs").glob("*.toml")) + sorted(
    BENCHMARKS.glob("suites/*/*.toml")
)


def rows() -> list[dict[str, str]]:
    found = []
    for path in sorted((BENCHMARKS / "results").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += list(csv.DictReader(file))
    return found


def script(name: str) -> ModuleType:
    """A module of the folder of benchmarks, which is no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return script("make_readme")


@pytest.fixture(scope="module")
def identities() -> ModuleType:
    return script("identities")


RESULTS = sorted((BENCHMARKS / "results").rglob("*.csv"))
UNKNOWN = 22
"""Lines whose features were not recorded, and differ in the last digits from machine to machine."""


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_line_of_results_says_what_it_is_of(path: Path, identities: ModuleType) -> None:
    """The hash of its configuration, made anew, and all fingerprints."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line, (config_hash, _) in zip(lines, identities.trained(path, lines), strict=True):
        assert line["config_hash"] == config_hash[:16], line["name"]
        assert all(line[name] for name in RUN_KEY if name != "features"), line["name"]


def test_lines_without_a_fingerprint_of_their_features_become_no_more() -> None:
    empty = []
    for path in RESULTS:
        with path.open(encoding="utf-8", newline="") as file:
            empty += [path.stem for line in csv.DictReader(file) if not line["features"]]
    assert len(empty) == UNKNOWN
    assert set(empty) == {"modality", "missing"}


def test_a_closed_form_model_has_no_epoch_to_choose() -> None:
    closed = [row for row in rows() if MODELS[row["model"]].closed_form]
    assert closed
    assert {row["selection"] for row in closed} == {"none"}


def test_the_page_is_generated_from_the_results(generator: ModuleType) -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert page == generator.page(), "run python benchmarks/make_readme.py"


def test_every_result_is_of_a_configuration_in_the_repository() -> None:
    names = {path.stem for path in CONFIGS}
    assert rows()
    assert {row["name"] for row in rows()} <= names


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_results_carry_the_hash_of_their_configuration(path: Path) -> None:
    """A result whose configuration was edited later is no result of it."""
    hashes = [
        experiment_identity(load_config(path, [f"run.seed={row['seed']}"]))[:16]
        for row in rows()
        if row["name"] == path.stem
    ]
    recorded = [row["config_hash"] for row in rows() if row["name"] == path.stem]
    assert hashes == recorded


def test_every_suite_starts_with_its_command() -> None:
    for path in BENCHMARKS.glob("suites/*/*.toml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# graphrec run {path.relative_to(ROOT)}"


def test_the_guide_to_tuning_shows_the_studies_on_record(generator: ModuleType) -> None:
    path = BENCHMARKS / "results" / "tuning" / "amazon-baby.csv"
    with path.open(encoding="utf-8", newline="") as file:
        table = generator.tuning_table(list(csv.DictReader(file)))
    guide = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    assert table in guide
    plots = {path.name for path in (ROOT / "docs" / "figures").glob("*.svg")} - {"packages.svg"}
    assert len(plots) >= 4
    assert [name for name in plots if f"figures/{name}" not in guide] == []


def test_the_guide_to_fusion_shows_the_studies_on_record(generator: ModuleType) -> None:
    guide = (ROOT / "docs" / "fusion_results.md").read_text(encoding="utf-8")
    for path, studies, made in (
        ("modality.csv", generator.by_name, generator.study_table),
        ("missing.csv", generator.by_name, generator.study_table),
        ("grid.csv", generator.grids, generator.grid_table),
    ):
        with (BENCHMARKS / "results" / "fusion" / path).open(encoding="utf-8") as file:
            for study, rows in studies(list(csv.DictReader(file))).items():
                assert made(rows) in guide, (path, study)
