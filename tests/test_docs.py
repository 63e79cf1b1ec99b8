"""The guides: every configuration in them is accepted, every command that can run here is run."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from graphrec import build_config
from graphrec.core.files import write_json
from graphrec.data.config import SUFFIXES, Format
from graphrec.features import ENCODERS
from graphrec.features.missing import STRATEGIES
from graphrec.models import MODELS
from tests import flow
from tests.guides import blocks
from tests.studies import worlds

DOCS = Path(__file__).parents[1] / "docs"
FEATURES = (DOCS / "features.md").read_text(encoding="utf-8")
DISTILLATION = (DOCS / "distillation.md").read_text(encoding="utf-8")
CONTROLS = (DOCS / "controls.md").read_text(encoding="utf-8")
DATA = (DOCS / "data.md").read_text(encoding="utf-8")
TUNING = (DOCS / "tuning.md").read_text(encoding="utf-8")


PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PAGES += [DOCS.parent / "data" / "README.md", *sorted((DOCS.parent / "benchmarks").rglob("*.md"))]
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


def headings(page: Path) -> set[str]:
    """The name that each heading of a page has in a link to it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        if "://" in file:
            continue
        other = page.parent / file if file else page
        if not other.exists() or (heading and heading not in headings(other)):
            broken.append(target)
    assert broken == []


def test_every_figure_is_shown_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    figures = [path.relative_to(DOCS).as_posix() for path in DOCS.glob("figures/**/*.svg")]
    assert [name for name in figures if f"({name})" not in text] == []


def test_the_module_paths_of_a_page_exist() -> None:
    """A path such as ``graphrec/features/encode.py`` that was moved."""
    named = re.compile(r"`((?:graphrec|tests|docs|benchmarks)/[\w./]+)`")
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in named.findall(text) if not (DOCS.parent / name).exists()] == []


@pytest.mark.parametrize("block", blocks(FEATURES, "toml"))
def test_a_block_of_the_guide_to_features_is_a_valid_configuration(block: str) -> None:
    table = {"data": {"path": "x.csv"}, "model": {"name": "modality_attention_gcn"}}
    config = build_config(table | tomllib.loads(block))
    assert config.features


def test_the_guide_names_every_encoder() -> None:
    assert len(blocks(FEATURES, "toml")) >= 5
    missing = [name for name in ENCODERS if f"`{name}" not in FEATURES]
    assert missing == []


def test_the_guide_names_every_strategy_for_what_is_missing() -> None:
    assert [name for name in (*STRATEGIES, "mask", "token") if f"`{name}`" not in FEATURES] == []


def test_the_worked_example_of_the_guide_to_files_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ratings, films = blocks(DATA, "text")
    Path("ratings.dat").write_text(ratings)
    Path("movies.dat").write_text(films, encoding="latin-1")
    Path("films.toml").write_text(blocks(DATA, "toml")[0])
    (commands,) = blocks(DATA, "bash")
    for line in commands.splitlines():
        answer = flow.graphrec(*shlex.split(line)[1:])
        assert answer.code == 0, f"{line}: {answer.err}"
    (shown,) = blocks(DATA, "console")
    assert shown in answer.out


@pytest.mark.parametrize("block", blocks(DATA, "toml")[1:])
def test_a_block_of_the_guide_to_files_is_a_valid_configuration(block: str) -> None:
    assert build_config({"model": {"name": "popular"}} | tomllib.loads(block)).data.unroll


def test_the_guide_to_files_names_every_setting_of_files_and_every_format() -> None:
    settings = ["separator", "quote", "encoding", "line_start", "unroll", "unroll_separator"]
    settings += [f"items_{name}" for name in ("format", "separator", "quote", "encoding")]
    words = [*settings, *(name for name in get_args(Format) if name != "auto"), *SUFFIXES]
    assert [word for word in words if f"`{word}" not in DATA and f"{word} =" not in DATA] == []


@pytest.mark.parametrize("block", blocks(TUNING, "toml"))
def test_a_block_of_the_guide_to_tuning_is_a_valid_configuration(block: str) -> None:
    table = {"data": {"path": "x.csv"}, "model": {"name": "lightgcn"}}
    config = build_config(table | tomllib.loads(block))
    assert block.startswith("# mf.toml") or config.search or config.tune.model_fields_set


def test_the_controls_of_the_guide_are_a_valid_configuration() -> None:
    (block,) = blocks(CONTROLS, "toml")
    table = worlds.table_of("image") | tomllib.loads(block)
    assert build_config(table).controls == {"image": "shuffled"}


def test_the_commands_of_the_guide_to_controls_are_accepted(tmp_path: Path) -> None:
    """Each with all its options, on a small configuration; studies are in tests/studies."""
    write_json(tmp_path / "shop.json", worlds.table_of("image"))
    lines = [line for block in blocks(CONTROLS, "bash") for line in block.splitlines() if line]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line.replace("shop.toml", str(tmp_path / "shop.json")))
        assert words[0] == "graphrec"
        answer = flow.graphrec(*words[1:], "--metric", "none@20", "--out", tmp_path / "s")
        assert "--metric 'none@20' is not measured" in flow.refusal(answer)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configurations that the guides talk about."""
    folder = tmp_path_factory.mktemp("shop")
    for name, model in (("shop", "lightgcn"), ("mf", "mf"), ("small", "mf")):
        data = flow.data()
        (folder / f"{name}.toml").write_text(
            f'[data]\npath = "{data}/pairs.csv"\nuser = "who"\nitem = "what"\ntime = "when"\n'
            f'[split]\nkind = "temporal_user"\n[model]\nname = "{model}"\n'
            "[training]\nmax_epochs = 3\n[evaluation]\ntop_k = [5, 10]\n"
            'valid_metric = "ndcg@5"\n[run]\nrecommend_k = 5\n',
            encoding="utf-8",
        )
    return folder


@pytest.mark.slow  # test_guides runs them, too, with those of all other guides
def test_the_commands_of_the_guide_to_tuning_run(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    lines = [line for block in blocks(TUNING, "bash") for line in block.splitlines() if line]
    local = [line for line in lines if "postgresql" not in line]
    assert len(local) == 2
    for line in local:
        answer = flow.graphrec(*shlex.split(line)[1:])
        assert answer.code == 0, f"{line}: {answer.err}"
    assert (shop / "studies/shop/report.html").exists()


def test_the_python_example_of_the_guide_to_tuning_runs(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop)
    (example,) = blocks(TUNING, "python")
    exec(example.replace("ndcg@20", "ndcg@10"), {})  # the catalogue has 18 items
    assert "training.lr" in capsys.readouterr().out


@pytest.mark.slow
def test_the_script_for_job_arrays_runs_with_two_workers(shop: Path) -> None:
    bin_folder = shop / "bin"
    bin_folder.mkdir()
    (bin_folder / "graphrec").write_text(f'#!/bin/sh\nexec {sys.executable} -m graphrec "$@"\n')
    (bin_folder / "graphrec").chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    script = [str(DOCS / "tune_array.sh"), "mf.toml", str(shop / "s.journal"), "array"]
    options = ["--trials", "6", "--set", "tune.final_seeds=0"]
    tasks = [
        subprocess.Popen(
            [*script, *options],
            cwd=shop,
            env={**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": str(task)},
            stderr=subprocess.DEVNULL,
        )
        for task in range(2)
    ]
    assert [task.wait(300) for task in tasks] == [0, 0]
    assert "maximize" in (shop / "array/study.json").read_text()


@pytest.mark.parametrize("block", blocks(DISTILLATION, "toml"))
def test_a_block_of_the_guide_to_distillation_is_a_valid_configuration(block: str) -> None:
    table = {"data": {"path": "x.csv"}, "model": {"name": "mf"}}
    config = build_config(table | tomllib.loads(block))
    assert block.startswith("# small.toml") or config.distill.teacher is not None


def test_the_commands_of_the_guide_to_distillation_run(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    lines = [line for block in blocks(DISTILLATION, "bash") for line in block.splitlines() if line]
    assert len(lines) == 3
    for line in lines:
        line = line.replace("@20", "@10")  # the catalogue has 18 items
        answer = flow.graphrec(*shlex.split(line)[1:])
        assert answer.code == 0, f"{line}: {answer.err}"
    (example,) = blocks(DISTILLATION, "python")
    exec(example.replace("ndcg@20", "ndcg@10"), {})
    assert (shop / "distilled/python/distill.json").exists()


# Cleaning.

CLEANING = (DOCS / "cleaning.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", blocks(CLEANING, "toml"))
def test_a_block_of_the_guide_to_cleaning_is_a_valid_configuration(block: str) -> None:
    table = tomllib.loads(block)
    base: dict[str, object] = {"data": {"path": "x.csv"}, "model": {"name": "popular"}}
    data = {"path": "x.csv", **table.pop("data", {})}
    assert build_config({**base, **table, "data": data})


def test_the_example_of_the_guide_to_cleaning_runs_and_logs_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ratings, products = blocks(CLEANING, "csv")
    Path("ratings.csv").write_text(ratings, encoding="utf-8")
    Path("products.csv").write_text(products, encoding="utf-8")
    Path("cups.toml").write_text(blocks(CLEANING, "toml")[0], encoding="utf-8")
    said = ""
    for line in blocks(CLEANING, "bash")[0].splitlines():
        answer = flow.graphrec(*shlex.split(line)[1:])
        assert answer.code == 0, f"{line}: {answer.err}"
        said = answer.err.replace(f"{tmp_path}/", "") + Path("cups.toml").read_text()
    quoted = re.findall(r"^    (\S.*)$", CLEANING, flags=re.MULTILINE)
    assert len(quoted) == 7
    assert [line for line in quoted if line.removesuffix("...") not in said] == []
    events = [json.loads(line) for line in Path("runs/cups/log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("warning") == 2


def test_the_guide_to_cleaning_names_every_model_that_reads_weights() -> None:
    for name, model in MODELS.items():
        assert ("use_weights" in model.Config.model_fields) == (f"| `{name}` |" in CLEANING)
