"""What the installation can do, in words."""

import platform
import sys
from importlib import metadata

import pytest
import torch

from graphrec import doctor
from graphrec.doctor import diagnose


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


def test_a_missing_backend_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    found = diagnose()["backends"]
    assert (found["torch"], found["pyg"]) == ("ready", "ready")
    assert "graphrec[dgl]" in found["dgl"]
