"""The work that is killed: small runs, studies and encodings, and how two of each differ."""

from places import ROOT  # isort: skip
import json
import math
import os
import random
import wave
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import optuna
import polars as pl
import safetensors.torch
import torch
from safetensors import safe_open

from graphrec import build_config, encode, load, read_result, run, tune
from graphrec.core.config import Json
from graphrec.features.content import store
from graphrec.tuning import search, study

assert plt and optuna and ROOT  # loaded here, before processes are forked

USERS, ITEMS, EACH = 20, 16, 7

Differences = list[str]


class Kind(NamedTuple):
    """How a kind of work is begun or gone on with, and what differs between two folders."""

    go_on: Callable[[Path, Path], None]
    compare: Callable[[Path, Path], Differences]


def write_data(folder: Path) -> None:
    """Interactions with times, an item table and a sound for each item but one."""
    rng = random.Random(5)
    lines = ["user,item,time"]
    for user in range(USERS):
        for item in rng.sample(range(ITEMS), EACH):
            lines.append(f"u{user:02},i{item:02},{rng.randrange(1000)}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    texts = [
        f"i{item:02},{'red' if item % 2 else 'blue'} thing {item % 5}" for item in range(ITEMS)
    ]
    (folder / "items.csv").write_text("\n".join(["item,text", *texts]) + "\n", encoding="utf-8")
    (folder / "sounds").mkdir()
    for item in range(ITEMS - 1):
        tone = [int(9000 * math.sin(step * (item + 3) / 40)) for step in range(1600)]
        with wave.open(str(folder / "sounds" / f"i{item:02}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(array("h", tone).tobytes())


def table(data: Path) -> dict[str, Json]:
    """The configuration of a small run."""
    return {
        "data": {"path": str(data / "pairs.csv"), "time": "time", "items": str(data / "items.csv")},
        "split": {"kind": "temporal_user"},
        "features": {"text": {"encoder": "tfidf", "columns": ["text"], "dim": 4, "min_df": 1}},
        "model": {"name": "modality_attention_gcn", "dim": 8, "num_layers": 1, "edge_drop": 0.2},
        "training": {"lr": 0.02, "batch_size": 32, "max_epochs": 8, "patience": 9},
        "evaluation": {"top_k": [5], "valid_metric": "ndcg@5"},
        "run": {"name": "killed", "device": "cpu", "recommend_k": 5},
    }


def go_on_with_run(data: Path, out: Path) -> None:
    """Begin a run, or go on with it."""
    run(build_config(table(data)), out, resume=True)


def go_on_with_study(data: Path, out: Path) -> None:
    """Begin a study, or go on with it; nothing is drawn, which takes longer than the study."""
    own = table(data)
    own["model"] = {"name": "mf", "dim": 8}
    del own["features"]
    own["training"] = {"lr": 0.02, "batch_size": 32, "max_epochs": 3}
    own["search"] = {"training.lr": {"low": 1e-3, "high": 1e-1, "log": True}, "model.dim": [4, 8]}
    own["tune"] = {"trials": 4, "final_seeds": 1}
    search.write_report = lambda *_: None
    study.HEARTBEAT_SECONDS = 1  # a trial without an owner is given up after four of them
    study.HERE["pid"] = os.getpid()
    tune(build_config(own), out)


def go_on_with_encoding(data: Path, out: Path) -> None:
    """Encode what is not in the store yet, in shards of a few rows."""
    store.SHARD_ROWS = 3
    own = table(data)
    sound: dict[str, Json] = {
        "encoder": "logmel",
        "audio": f"{data}/sounds/{{item}}.wav",
        "store": str(out / "store"),
        "batch_size": 2,
    }
    own["features"] = {"sound": {**sound, "rate": 8000, "num_mels": 8}}
    config = build_config(own)
    features = encode(load(config.data), config.features)
    out.mkdir(parents=True, exist_ok=True)
    (out / "fingerprint").write_text(features.fingerprint, encoding="utf-8")


# What differs -------------------------------------------------------------------------------------


def runs_differ(one: Path, other: Path) -> Differences:
    """Compare two run folders in all but times, memory and the machine."""
    left, right = read_result(one), read_result(other)
    names = ("metrics", "best_epoch", "epochs", "stopped", "baselines", "num_users", "examples")
    found = [name for name in names if getattr(left, name) != getattr(right, name)]
    if _untimed(left.history) != _untimed(right.history):
        found.append("history")
    if [record["epoch"] for record in left.history] != list(range(1, left.epochs + 1)):
        found.append("epochs are doubled or missing")
    if not set(right.test_openings) <= set(left.test_openings):
        found.append("openings of the test part")
    for name in ("recommendations.parquet", "per_user.parquet"):
        if not pl.read_parquet(one / name).equals(pl.read_parquet(other / name)):
            found.append(name)
    if not same_tensors(one / "checkpoint.safetensors", other / "checkpoint.safetensors"):
        found.append("checkpoint")
    return found + _log_differs(one / "log.jsonl") + _left_behind(one)


def _untimed(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [
        {name: value for name, value in each.items() if not name.endswith("_seconds")}
        for each in history
    ]


def _log_differs(path: Path) -> Differences:
    """Each line is whole, and between two starts no epoch stands twice or out of turn."""
    found, before = [], 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            return ["a line of the log is cut"]
        if event["event"] == "start":
            before = 0
        elif event["event"] == "epoch":
            epoch = int(event["epoch"])
            if before and epoch != before + 1:
                found.append(f"the log has epoch {epoch} after {before}")
            before = epoch
    return found


def _left_behind(folder: Path) -> Differences:
    parts = [path.name for path in folder.rglob("*.part")]
    return [f"{len(parts)} half-written files are left"] if parts else []


def same_tensors(one: Path, other: Path) -> bool:
    """Whether two checkpoints hold the same tensors."""
    left, right = safetensors.torch.load_file(one), safetensors.torch.load_file(other)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def studies_differ(one: Path, other: Path) -> Differences:
    """Compare two study folders: trials, winner, and the runs in the end."""
    found = []
    changing = ("number", "trial_seconds", "started", "worker")
    trials = [
        pl.read_parquet(folder / "trials.parquet")
        .filter(pl.col("state") != "lost")
        .drop(changing, strict=False)
        for folder in (one, other)
    ]
    if not trials[0].equals(trials[1]):
        found.append("trials")
    left, right = (json.loads((folder / "study.json").read_text()) for folder in (one, other))
    names = ("objectives", "own", "best", "best_params", "valid", "test", "seeds", "budget")
    found += [name for name in names if left[name] != right[name]]
    runs = sorted(path.name for path in (other / "final").iterdir() if path.is_dir())
    for name in runs:
        found += [
            f"{name}: {each}" for each in runs_differ(one / "final" / name, other / "final" / name)
        ]
    return found + _left_behind(one)


def encodings_differ(one: Path, other: Path) -> Differences:
    """Compare what is encoded, and the rows in the store."""
    found = []
    if (one / "fingerprint").read_text() != (other / "fingerprint").read_text():
        found.append("fingerprint")
    left, right = rows_of(one), rows_of(other)
    if left.keys() != right.keys():
        found.append(f"{len(left)} rows in the store, not {len(right)}")
    elif any(not np.array_equal(left[key], right[key]) for key in left):
        found.append("rows in the store")
    return found


def rows_of(out: Path) -> dict[str, np.ndarray]:
    """The rows of all shards by key; a damaged shard raises."""
    rows: dict[str, np.ndarray] = {}
    for path in sorted((out / "store").rglob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            keys, values = file.metadata()["keys"].split(" "), file.get_tensor("rows")
        rows |= dict(zip(keys, values, strict=True))
    return rows


KINDS = {
    "run": Kind(go_on_with_run, runs_differ),
    "tune": Kind(go_on_with_study, studies_differ),
    "encode": Kind(go_on_with_encoding, encodings_differ),
}
