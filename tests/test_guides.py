"""Every command of every guide, as written and in order, from the files of README.md."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from graphrec.config import load_config
from graphrec.studies.fusion_cells import Axes, plan_of
from tests import flow, guides

ELSEWHERE = ("make ", "graphrec tune shop.toml --storage postgresql://")
"""Starts of commands that need what a test has not: the whole test suite, and a database."""

DATA = "GRAPHREC_DATA"
REAL = "steck2019ease_ease_amazon-baby"
"""A configuration whose data may not lie in this repository."""

INLINE = re.compile(r"`(graphrec [^`]*?\.toml[^`]*)`", re.DOTALL)
"""A command in the middle of a sentence, with the configuration that it reads."""


def test_every_guide_with_commands_is_followed() -> None:
    with_blocks = {
        path
        for path in (guides.ROOT / "docs").glob("*.md")
        if "```bash" in path.read_text(encoding="utf-8")
    }
    own = {guides.ROOT / "docs" / name for name in ("data.md", "cleaning.md")}  # in test_docs.py
    assert with_blocks - own <= set(guides.guides())


def follow(path: Path) -> list[str]:
    """Write the files of a guide and run its commands and examples; return the commands."""
    ran = []
    for language, block in guides.steps(path):
        name = guides.file_name(block)
        if name:
            Path(name).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(block, {})
        for line in guides.commands(block) if language == "bash" else ():
            if line.startswith(ELSEWHERE):
                continue
            words = shlex.split(line)
            if REAL in line and DATA not in os.environ:
                words[1] = "check"
            answer = flow.graphrec(*words[1:])
            assert answer.code == 0, f"{path.name}: {line}\n{answer.err}"
            ran.append(line)
    return ran


@pytest.mark.slow
def test_all_guides_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guides.write_shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    ran = [line for path in guides.guides() for line in follow(path)]
    assert {line.split()[1] for line in ran} >= {
        "check", "run", "recommend", "report", "tune", "distill", "embed", "fusion", "modality",
        "missing", "data", "list",
    }  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of all guides, without what their commands leave."""
    guides.write_shop(tmp_path)
    for path in guides.guides():
        for _, block in guides.steps(path):
            if guides.file_name(block):
                (tmp_path / guides.file_name(block)).write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_configurations_of_the_guides_are_sound(shop: Path) -> None:
    files = sorted(path.name for path in shop.glob("*.toml"))
    assert files == ["mf.toml", "mine.toml", "shop.toml", "small.toml", "texts.toml"]
    for name in files:
        answer = flow.graphrec("check", name)
        assert answer.code == 0, answer.err


def test_the_commands_of_the_guides_name_only_files_that_they_show(shop: Path) -> None:
    for path in guides.guides():
        for language, block in guides.steps(path):
            for line in guides.commands(block) if language == "bash" else ():
                for word in shlex.split(line):
                    if word.endswith(".toml") and not word.startswith("--"):
                        assert (shop / word).exists(), f"{path.name}: {line}"


def test_the_fusions_of_the_guides_have_something_to_fuse(shop: Path) -> None:
    """``shop.toml`` once had a single modality, which no fusion can fuse."""
    config = load_config("shop.toml")
    assert len(config.features) >= 2
    plan = plan_of(config, Axes(how=("attention", "concat")), tuned=False)
    assert len(plan.cells) >= 4


def test_the_examples_of_contributing_run(shop: Path) -> None:
    """A model and an encoder that are typed in as they stand there."""
    assert len(follow(guides.ROOT / "CONTRIBUTING.md")) == 2
    runs = [json.loads(path.read_text()) for path in shop.glob("runs/*/result.json")]
    assert {run["model"] for run in runs} == {"mymodel:MyModel", "modality_attention_gcn"}


def test_a_command_in_a_sentence_has_a_configuration_that_is_accepted() -> None:
    """Studies on record are named by the command that made them; too long to run here."""
    found = 0
    for path in (guides.README, *sorted((guides.ROOT / "docs").glob("*.md"))):
        for text in INLINE.findall(path.read_text(encoding="utf-8")):
            words = shlex.split(text)
            (name,) = (word for word in words if word.endswith(".toml"))
            if not (guides.ROOT / name).exists():
                continue
            sets = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
            load_config(guides.ROOT / name, sets)
            found += 1
    assert found >= 12
