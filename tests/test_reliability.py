"""Small samples of benchmarks/reliability: damaged inputs, planted faults and kills."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "reliability"

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks on Linux")


def figures(script: str, out: Path, *arguments: str) -> dict[str, object]:
    """Run a script of the folder and return the figures that it wrote."""
    command = [sys.executable, str(FOLDER / script), *arguments, "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, object] = json.loads(out.read_text(encoding="utf-8"))
    return content


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("mutations")


def test_faults_are_drawn_by_the_seed_and_every_one_changes_the_module(
    mutations: ModuleType,
) -> None:
    files = ("graphrec/nn/losses.py", "graphrec/core/rng.py", "graphrec/data/splitting.py")
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in files}
    found = {file: mutations.mutants(file, text) for file, text in texts.items()}
    drawn = mutations.sample(found, texts, 30, 0)
    assert drawn == mutations.sample(found, texts, 30, 0)
    assert {each.file for each in drawn} == set(files)
    for each in drawn:
        changed = each.source(texts[each.file])
        assert changed != texts[each.file]
        compile(changed, each.file, "exec")
        assert each.first <= each.line <= max(each.last, each.line)


def test_messages_and_docstrings_are_left_alone(mutations: ModuleType) -> None:
    text = 'def f(x):\n    """Doc 3."""\n    if x < 2:\n        raise ValueError(f"{x} < 2")\n'
    kinds = [(each.line, each.kind) for each in mutations.mutants("a.py", text)]
    assert sorted(kinds) == [(3, "comparison"), (3, "constant"), (4, "statement")]


@linux
@pytest.mark.slow
def test_damaged_inputs_are_read_or_refused(tmp_path: Path) -> None:
    found = figures("fuzz.py", tmp_path / "fuzz.json", "--inputs", "6000", "--seed", "1")
    assert found["inputs"] == 6000
    assert found["kinds"] == []


@linux
@pytest.mark.slow
def test_planted_faults_are_noticed(tmp_path: Path) -> None:
    """Fingerprints, where a fault that nobody notices would let tables mix."""
    found = figures(
        *("mutate.py", tmp_path / "mutate.json", "--named", "--within", "datasets/dataset"),
        *("--tests", "tests/data/test_dataset"),
    )
    assert (found["faults"], found["killed"]) == (3, 3), found


@linux
@pytest.mark.slow
def test_killed_work_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    found = figures("kill.py", tmp_path / "kill.json", "--kills", "24", "--seed", "1")
    assert found["kills"] >= 24
    assert found["differences"] == []
