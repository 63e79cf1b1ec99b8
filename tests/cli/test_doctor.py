"""What the installation can do, in words."""

import platform
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch

from graphrec.cli import doctor
from graphrec.cli.doctor import diagnose


def test_versions_are_those_that_are_installed() -> None:
    versions = diagnose()["versions"]
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == metadata.version("torch")
    assert versions["graphrec"] == metadata.version("graphrec")


def test_every_topic_has_facts_in_words() -> None:
    findings = diagnose()
    assert set(findings) == {"versions", "backends", "devices", "extras"}
    for facts in findings.values():
        assert facts
        assert all(isinstance(text, str) and text for text in facts.values())


def test_the_cpu_is_always_there_with_its_threads() -> None:
    assert diagnose()["devices"]["cpu"] == f"{torch.get_num_threads()} threads"


def test_a_missing_extra_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "no_such_module", "graphrec[none]")
    assert diagnose()["extras"]["no_such_module"] == "missing; pip install 'graphrec[none]'"


def test_every_package_of_every_extra_is_there() -> None:
    """tune and dev were left out, so that nobody saw why tune would not run."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    modules = {"pillow": "PIL", "pytest_xdist": "xdist"}
    for extra, requirements in extras.items():
        for requirement in requirements:
            name = re.split(r"[\[<>=; ]", requirement)[0].replace("-", "_")
            if name != "graphrec":
                assert doctor.EXTRAS[modules.get(name, name)] == f"graphrec[{extra}]"


def test_a_missing_backend_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    found = diagnose()["backends"]
    assert (found["torch"], found["pyg"]) == ("ready", "ready")
    assert "graphrec[dgl]" in found["dgl"]
