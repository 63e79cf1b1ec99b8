"""A tiny data set as CSV, configurations over it, and finished runs shared by the flow tests."""

import atexit
import contextlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from graphrec import Result, RunConfig, build_config
from graphrec.cli.main import main
from graphrec.core.config import Json
from graphrec.experiment.run import run
from graphrec.models import MODELS

NUM_USERS, NUM_ITEMS, PER_USER = 24, 18, 8
WORDS = ("garden lamp", "kitchen bowl", "paper card")
TRAINED = [name for name, model in MODELS.items() if not model.closed_form]

Table = dict[str, Json]


def write_data(folder: Path) -> None:
    """``pairs.csv`` (text ids, times) and ``items.csv`` (title, text; one item has no text).

    Item i has class i mod 3; users take their own class five times as often as another.
    """
    rng = np.random.default_rng(7)
    items = np.arange(NUM_ITEMS)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["who,what,when"]
    for user in range(NUM_USERS):
        odds = np.where(items % 3 == user % 3, 5.0, 1.0)
        chosen = rng.choice(NUM_ITEMS, PER_USER, replace=False, p=odds / odds.sum())
        times = rng.permutation(1000)[:PER_USER]
        lines += [f"u{user:02},i{item:02},{time}" for item, time in zip(chosen, times, strict=True)]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = ["what,title,text"]
    for item in items:
        text = "" if item == 4 else f"{WORDS[item % 3]} number{item % 4}"
        table.append(f"i{item:02},Title {item},{text}")
    (folder / "items.csv").write_text("\n".join(table) + "\n", encoding="utf-8")


def table_of(folder: Path, model: str = "modality_attention_gcn") -> Table:
    """The raw configuration of a small run over ``write_data(folder)``."""
    table: Table = {
        "data": {
            "path": str(folder / "pairs.csv"),
            "user": "who",
            "item": "what",
            "time": "when",
            "items": str(folder / "items.csv"),
            "items_id": "what",
            "item_title": "title",
        },
        "split": {"kind": "temporal_user"},
        "model": {"name": model},
        "training": {"lr": 0.02, "batch_size": 32, "max_epochs": 4, "patience": 9},
        "evaluation": {"top_k": [3, 5], "valid_metric": "ndcg@5"},
        "run": {"name": model, "device": "cpu", "recommend_k": 5},
    }
    section = table["model"]
    assert isinstance(section, dict)
    fields = MODELS[model].Config.model_fields
    section |= {key: value for key, value in (("dim", 8), ("num_layers", 1)) if key in fields}
    if MODELS[model].uses_modalities:
        table["features"] = {
            "text": {"encoder": "tfidf", "columns": ["text"], "dim": 4, "min_df": 1}
        }
    if model == "joint_embedding":
        table["features"] |= {
            "words": {"encoder": "bow", "columns": ["text"], "dim": 3, "min_df": 2}
        }
    return table


def config_of(
    folder: Path, model: str = "modality_attention_gcn", overrides: Iterable[str] = ()
) -> RunConfig:
    return build_config(table_of(folder, model), overrides)


def write_config(
    folder: Path, model: str = "modality_attention_gcn", overrides: Iterable[str] = ()
) -> Path:
    """``config.json`` beside the data; JSON and TOML configurations are the same to graphrec."""
    path = folder / f"{model}.json"
    dumped = config_of(folder, model, overrides).model_dump(mode="json", exclude_unset=True)
    path.write_text(json.dumps(dumped), encoding="utf-8")
    return path


def write_given(folder: Path, test_seed: int = 0) -> Table:
    """``train.csv``, ``valid.csv``, ``test.csv`` for the table of a given split; returns [data].

    Each user has the items u, u+1, .., u+4 in train and u+5 in valid (all modulo 17), so that
    every item but i17 is trained on; two of the others are in test, drawn by ``test_seed``. i17
    is in the test part of the first two users only: a cold item.
    """
    rng = np.random.default_rng(test_seed)
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "valid": [], "test": []}
    for user in range(NUM_USERS):
        own = [(user + step) % 17 for step in range(17)]
        parts["train"] += [(user, item) for item in own[:5]]
        parts["valid"].append((user, own[5]))
        parts["test"] += [(user, own[index]) for index in rng.choice(np.arange(6, 17), 2, False)]
    parts["test"] += [(0, 17), (1, 17)]
    table: Table = {"user": "who", "item": "what"}
    for name, pairs in parts.items():
        lines = ["who,what", *(f"u{user:02},i{item:02}" for user, item in pairs)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        table[name] = str(folder / f"{name}.csv")
    return table


def given_table(folder: Path, model: str = "mf", test_seed: int = 0) -> Table:
    """The raw configuration of a small run over ``write_given(folder)``."""
    table = table_of(data(), model)
    content: Table = {"items": str(data() / "items.csv"), "items_id": "what"}
    table |= {"data": write_given(folder, test_seed) | content, "split": {"kind": "given"}}
    return table


@cache
def data() -> Path:
    """The folder of the data set, written once per process; tests must not change it."""
    folder = Path(tempfile.mkdtemp(prefix="graphrec-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_data(folder)
    return folder


@cache
def finished(model: str = "modality_attention_gcn", *overrides: str) -> Path:
    """The folder of a finished run, made once per process; tests must not change it."""
    folder = data() / "runs" / str(len(list(data().glob("runs/*"))))
    run(config_of(data(), model, overrides), folder)
    return folder


def untimed(result: Result) -> list[dict[str, float]]:
    """The history without its seconds, which alone may differ between equal runs."""
    return [
        {key: value for key, value in record.items() if not key.endswith("_seconds")}
        for record in result.history
    ]


class Answer(NamedTuple):
    """What the command line said."""

    code: int
    out: str
    err: str


def graphrec(*arguments: str | Path) -> Answer:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["graphrec", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
    return Answer(code, out.getvalue(), err.getvalue())


def refusal(answer: Answer) -> str:
    """The one paragraph with which bad input must be answered."""
    assert answer.code == 2, answer
    assert answer.out == ""
    log, _, message = answer.err.rpartition("error: ")
    assert "Traceback" not in log
    assert message.count("\n") == 1, "one paragraph"
    return message.strip()


def replace(path: Path, old: str, new: str) -> None:
    """Change the first ``old`` in a text file, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
