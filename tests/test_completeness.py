"""Nothing is half-added: a model brings its test, its source, its words and a configuration."""

import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import graphrec
from graphrec import Model
from graphrec.data import CATALOG
from graphrec.models import MODELS
from graphrec.models.base import Family
from graphrec.papers.cite import bibliography, citation
from graphrec.papers.configs import paper_configs

ROOT = Path(__file__).parents[1]
SHARED = {"base", "config", "explanation"}
"""Modules of ``graphrec.models`` that are no model."""


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(graphrec.__path__, "graphrec.")
    names = [each.name for each in found if not each.name.endswith("__main__")]
    return [graphrec, *map(importlib.import_module, names)]


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def model(name: str) -> type[Model]:
    return MODELS[name]


# Models.


def test_a_model_has_an_oracle_test(name: str) -> None:
    models = ROOT / "tests/models"
    path = next(
        p for p in (models / f"test_{name}.py", models / name / "test_model.py") if p.exists()
    )
    assert "def test_" in path.read_text(encoding="utf-8")


def test_a_model_stands_in_the_file_of_its_name(name: str, model: type[Model]) -> None:
    file = f"graphrec.models.{name}"  # a long model may have a folder, and be its module `model`
    assert model.__module__ in (file, f"{file}.model")
    assert model.__name__.lower() == name.replace("_", "")


def test_a_model_names_source_and_deviations(model: type[Model]) -> None:
    text = inspect.getdoc(model) or ""
    assert "Source: " in text
    assert "Deviations: " in text


def test_a_model_has_a_paper_in_the_bibliography(name: str, model: type[Model]) -> None:
    if name == "popular":
        assert model.reference == ""
        return
    assert model.reference in bibliography()
    assert model.reference in (inspect.getdoc(model) or "")


def test_every_key_after_source_is_in_the_bibliography() -> None:
    cited = {
        key
        for module in modules()
        for key in re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b", inspect.getsource(module))
    }
    assert cited
    assert cited <= set(bibliography())


def test_no_model_imports_another_one(name: str) -> None:
    paths = (ROOT / "graphrec/models").glob(f"{name}*/*.py")
    paths = [*paths, *(ROOT / "graphrec/models").glob(f"{name}.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert text
    imported = set(re.findall(r"from graphrec\.models\.(\w+)[\w.]* import", text))
    assert imported <= {*SHARED, name}


def test_a_model_says_what_family_it_is_of(model: type[Model]) -> None:
    assert model.family in set(get_args(Family)) - {"other"}


def test_a_model_is_used_by_a_shipped_configuration(name: str) -> None:
    used: set[str] = set()
    for path in paper_configs():
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        used |= {table["model"]["name"], *table.get("evaluation", {}).get("baselines", ())}
    assert name in used


def test_every_file_of_models_is_in_the_table() -> None:
    models = ROOT / "graphrec/models"
    found = {path.stem for path in models.glob("*.py")}
    found |= {path.parent.name for path in models.glob("*/model.py")}
    assert found - {"__init__", *SHARED} == set(MODELS)


# Data sets.


@pytest.mark.parametrize("data_set", CATALOG)
def test_a_data_set_can_be_cited_and_has_a_licence_and_a_page(data_set: str) -> None:
    entry = CATALOG[data_set]
    assert citation(data_set)
    assert entry.licence
    assert entry.page.startswith("https://")
    assert entry.layouts


def test_every_data_set_stands_in_the_readme_of_the_data() -> None:
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    assert [name for name in CATALOG if name not in text] == []


# Code.


def test_everything_public_has_a_docstring() -> None:
    missing = []
    for module in modules():
        if not module.__doc__:
            missing.append(module.__name__)
        for label, thing in vars(module).items():
            own = getattr(thing, "__module__", None) == module.__name__
            if label.startswith("_") or not own or not callable(thing):
                continue
            if not inspect.isclass(thing) and not inspect.isfunction(thing):
                continue
            if not (thing.__doc__ or "").strip():
                missing.append(f"{module.__name__}.{label}")
            if inspect.isclass(thing):
                missing += [
                    f"{module.__name__}.{label}.{method}"
                    for method, function in vars(thing).items()
                    if inspect.isfunction(function)
                    and not method.startswith("_")
                    and function.__module__ == module.__name__
                    and not inspect.getdoc(getattr(thing, method))
                ]
    assert missing == []


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "graphrec").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_all_that_the_package_exports_exists() -> None:
    assert len(set(graphrec.__all__)) == len(graphrec.__all__)
    assert all(hasattr(graphrec, each) for each in graphrec.__all__)


def test_nothing_prints_or_pickles_in_the_library() -> None:
    for path in (ROOT / "graphrec").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) pickle", source, re.M), path
        calls = re.findall(r"torch\.load\([^)]*\)?", source)  # tensors only, never a pickled object
        assert all("weights_only=True" in call for call in calls), path
        if path.parent.name != "cli":
            assert not re.search(r"(?<![\w.])print\(", source), path
