"""Targets: files that graphrec itself wrote: checkpoints, stored rows, results."""

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import safetensors.torch
import torch
from cases import Case

from graphrec.core.config import Json
from graphrec.core.digest import digest
from graphrec.data import Interactions
from graphrec.experiment.result import Result, read_result
from graphrec.features.content.store import Store
from graphrec.models import MODELS, Inputs
from graphrec.training import Checkpoint, CheckpointPolicy, fit, write_checkpoint
from graphrec.training.config import TrainingConfig

DEVICE = torch.device("cpu")
TRAIN = Interactions(
    users=np.arange(12, dtype=np.int64) // 2,
    items=np.arange(12, dtype=np.int64) * 5 % 8,
    num_users=6,
    num_items=8,
)
IDENTITY = {"config": "c", "dataset": "d"}
SETTINGS = TrainingConfig(max_epochs=3, batch_size=8)


def _fit(path: Path, epochs: int, *, resume: bool) -> object:
    model_class = MODELS["mf"]
    config = model_class.Config.model_validate({"name": "mf", "dim": 2})
    model = model_class(config, Inputs(TRAIN, torch.Generator().manual_seed(0)))
    return fit(
        model,
        TRAIN,
        SETTINGS.model_copy(update={"max_epochs": epochs}),
        seed=0,
        device=DEVICE,
        validate=lambda _: {"ndcg@5": 0.5},
        metric="ndcg@5",
        checkpoint=CheckpointPolicy(path, IDENTITY, resume),
    )


def checkpoints() -> list[Case]:
    """Checkpoints after one and two epochs."""
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (1, 2):
            path = Path(folder) / str(epochs)
            _fit(path, epochs, resume=False)
            cases.append(Case({"checkpoint.safetensors": path.read_bytes()}, {}))
            with safetensors.safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                names = {
                    name: _dtype_and_shape(file.get_tensor(name)) for name in sorted(file.keys())
                }
            state["result"]["stopped"] = state["result"]["stopped"] if epochs == 1 else ""
            cases.append(Case({}, {"state": state, "tensors": cast(Json, names)}))
    return cases


def _dtype_and_shape(tensor: torch.Tensor) -> list[Json]:
    return [str(tensor.dtype).removeprefix("torch."), *tensor.shape]


def _tensor(described: Json) -> torch.Tensor:
    """Make a tensor of a dtype and a shape, as far as these are any."""
    parts = described if isinstance(described, list) else [described]
    dtype = getattr(torch, str(parts[0]) if parts else "", None)
    sizes = [size % 50 for size in parts[1:] if isinstance(size, int)][:3]
    return torch.zeros(sizes, dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32)


def read_checkpoint(folder: Path, settings: dict[str, Json]) -> object:
    """Go on from a checkpoint; one made of settings has a hash that fits."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        state, tensors = settings.get("state"), settings.get("tensors")
        described = tensors if isinstance(tensors, dict) else {}
        content = {name: _tensor(value) for name, value in described.items()}
        write_checkpoint(path, Checkpoint(content, cast(dict[str, Json], state)))
    return _fit(path, 3, resume=True)


KEYS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5)]
STORED: dict[str, Json] = {"model": "m", "dim": 3}


def shards() -> list[Case]:
    """Shards of a store."""
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    header = {"keys": " ".join(KEYS), "sha256": digest(rows)}
    content = safetensors.torch.save({"rows": torch.from_numpy(rows)}, metadata=header)
    sealed: dict[str, Json] = {"keys": list(KEYS), "rows": ["float32", 5, 3], "name": "rows"}
    manifest = json.dumps({"kind": "text", "width": 3}).encode()
    return [
        Case({"a.safetensors": content, "b.safetensors": content, "manifest.json": manifest}, {}),
        Case({"b.safetensors": content}, sealed),
        Case({}, sealed),
        Case({}, {**sealed, "rows": ["float16", 5, 2]}),
    ]


def read_store(folder: Path, settings: dict[str, Json]) -> object:
    """Open a store, ask for every row that it claims to have, and add others."""
    place = folder / "root" / "text" / digest(_identity())[:16]
    place.mkdir(parents=True)
    for path in list(folder.iterdir()):
        if path.is_file():
            path.rename(place / path.name)
    if settings:
        rows = _tensor(settings.get("rows"))
        name, given = settings.get("name"), settings.get("keys")
        keys = [str(key) for key in given] if isinstance(given, list) else [str(given)]
        header = {"keys": " ".join(keys), "sha256": digest(rows.contiguous().numpy())}
        content = safetensors.torch.save({str(name): rows}, metadata=header)
        (place / "0.safetensors").write_bytes(content)
    row_store = Store(folder / "root").open("text", STORED, strict=not settings)
    keys = pl.Series("key", KEYS)
    new = row_store.new(keys)
    with row_store.writing():
        if new.any():
            row_store.add(keys.filter(pl.Series(new)), np.ones((int(new.sum()), 3), np.float32))
    rows = [rows for _, rows in row_store.blocks(keys)]
    return row_store.width, row_store.row(KEYS[0]), rows


def _identity() -> str:
    return json.dumps({"kind": "text", **STORED, "dtype": "float32"}, sort_keys=True)


def results() -> list[Case]:
    """The record of a run."""
    values: dict[str, Json] = {}
    for field in dataclasses.fields(Result):
        kind = str(field.type)
        values[field.name] = {} if kind.startswith("dict") else [] if kind.startswith("list") else 1
    values |= {
        "name": "a",
        "metrics": {"valid": {"ndcg@20": 0.1}, "test": {"ndcg@20": 0.2}},
        "history": [{"epoch": 1.0, "loss/bpr": 0.5}],
        "verdicts": [dict.fromkeys(("metric", "published", "ours", "tolerance", "verdict"), 1)],
        "examples": [{"user": "u", "history": ["a"], "recommended": ["b"]}],
    }
    return [Case({"result.json": json.dumps(values, indent=1).encode()}, {}), Case({}, values)]


def read_record(folder: Path, settings: dict[str, Json]) -> object:
    """Read the record of a run."""
    if settings:
        (folder / "result.json").write_text(json.dumps(settings))
    return read_result(folder)
