"""Planted data on disk: few interactions per item, a picture that tells the taste, and junk."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from graphrec import RunConfig, build_config
from graphrec.core.config import Json
from graphrec.data import planted
from tests.flow import Table

NUM_USERS, NUM_ITEMS = 150, 240


@cache
def folder() -> Path:
    """``pairs.csv``, ``image.npy`` (planted), ``junk.npy`` (noise), ``ids.txt``, ``lists.npz``."""
    path = Path(tempfile.mkdtemp(prefix="graphrec-lab-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    dataset, features = planted(0, NUM_USERS, NUM_ITEMS, num_classes=6, per_user=8)
    data = dataset.interactions
    lines = [f"{user},{item}" for user, item in zip(data.users, data.items, strict=True)]
    (path / "pairs.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    values = features["image"].values
    np.save(path / "image.npy", values)
    np.save(path / "mask.npy", features["image"].present)
    np.save(path / "junk.npy", np.random.default_rng(1).normal(size=(NUM_ITEMS, 6)))
    (path / "ids.txt").write_text("\n".join(map(str, range(NUM_ITEMS))) + "\n")
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    cosines = unit @ unit.T - 2 * np.eye(NUM_ITEMS)
    nearest = np.argsort(-cosines, axis=1)[:, :5]
    np.savez(
        path / "lists.npz",
        image_nbr=nearest,
        image_cos=np.take_along_axis(cosines, nearest, axis=1),
    )
    (path / "ids.tsv").write_text(
        "id\trow\n" + "".join(f"{item}\t{item}\n" for item in range(NUM_ITEMS))
    )
    return path


def table_of(*modalities: str, **model: Json) -> Table:
    """The raw configuration of a short run; modalities are image, junk and lists."""
    own: dict[str, dict[str, Json]] = {
        name: {"encoder": "file", "path": str(folder() / f"{name}.npy")}
        | {"ids": str(folder() / "ids.txt")}
        for name in ("image", "junk")
    }
    own["image"]["mask"] = str(folder() / "mask.npy")
    own["lists"] = {
        "encoder": "neighbours",
        "path": str(folder() / "lists.npz"),
        "array": "image",
        "ids": str(folder() / "ids.tsv"),
    }
    settings: dict[str, Json] = {"name": "modality_attention_gcn", "dim": 8, "num_layers": 1}
    # Inner products: with cosines, items of which ids know nothing can stand anywhere in a list.
    settings |= {"normalize": False, "temperature": 1.0, "init_std": 0.1}
    return {
        "data": {"path": str(folder() / "pairs.csv")},
        "split": {"kind": "random", "ratios": [0.6, 0.1, 0.3]},
        "features": {name: own[name] for name in modalities},
        "model": {**settings, "loss": "softmax", "fusion": "sum", **model},
        "training": {"lr": 0.02, "batch_size": 256, "num_negatives": 8, "max_epochs": 10},
        "evaluation": {"metrics": ["recall", "ndcg", "coverage"]},
        "run": {"name": "toy", "device": "cpu"},
    }


def config_of(*modalities: str, **model: Json) -> RunConfig:
    return build_config(table_of(*modalities, **model))


def short_of(*modalities: str, **model: Json) -> RunConfig:
    """Too short to learn anything."""
    return build_config(table_of(*modalities, **model), ["training.max_epochs=2"])
