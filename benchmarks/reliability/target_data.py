"""Targets: configurations, readers of interactions and item tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from cases import Case, numpy_archive, written, zipped

from graphrec.config import build_config, load_config
from graphrec.core.config import Json
from graphrec.data import load
from graphrec.data.config import DataConfig

SHOP: dict[str, Json] = {
    "data": {"path": "pairs.csv", "user": "who", "item": "what", "time": "when", "items": "i.csv"},
    "split": {"kind": "temporal_user", "ratios": [0.7, 0.1, 0.2]},
    "features": {
        "text": {"encoder": "tfidf", "columns": ["text"], "dim": 16, "min_df": 1},
        "file": {"encoder": "file", "path": "x.npy", "nan": "missing"},
        "facts": {"encoder": "attributes", "numeric": ["n"], "categorical": ["c"]},
    },
    "user_features": {"stats": {"encoder": "interactions"}},
    "controls": {"text": "shuffled"},
    "missing": {"strategy": "mean"},
    "model": {"name": "modality_attention_gcn", "dim": 8, "num_layers": 2, "dropout": 0.1},
    "training": {"lr": 0.01, "batch_size": 64, "max_epochs": 3, "schedule": "cosine"},
    "evaluation": {"top_k": [5, 10], "metrics": ["recall", "ndcg"], "baselines": ["popular"]},
    "run": {"name": "shop", "seed": 1, "device": "cpu"},
}
SEARCHED: dict[str, Json] = {
    "data": {"path": "pairs.csv", "clean": {"k_core": 2, "rules": [{"column": "n", "min": 1}]}},
    "model": {"name": "lightgcn", "dim": 8},
    "search": {
        "training.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.num_layers": {"low": 1, "high": 3},
    },
    "tune": {"trials": 4, "sampler": "random"},
    "published": {"recall@20": 0.1},
    "tolerance": {"recall@20": 0.01},
    "paper": {"key": "k", "table": "1"},
}
GIVEN: dict[str, Json] = {
    "data": {"train": "a.csv", "test": "b.csv", "separator": ";", "arrays": {}},
    "split": {"kind": "given"},
    "model": {"name": "ease"},
    "evaluation": {"protocol": "mmrec"},
}
CATALOG: dict[str, Json] = {"data": {"name": "toy"}, "model": {"name": "mf", "loss": "bpr"}}
OVERRIDES: list[Json] = ["model.dim=16", "training.lr=1e-3", "evaluation.top_k=[3]", "run.name=x"]


def toml(table: Mapping[str, Json], where: str = "") -> str:
    """Write a structure as TOML."""
    plain = [f"{json.dumps(k)} = {_inline(v)}" for k, v in table.items() if not isinstance(v, dict)]
    text = (f"[{where}]\n" if where else "") + "\n".join(plain) + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            text += toml(value, f"{where}.{json.dumps(key)}".lstrip("."))
    return text


def _inline(value: Json) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value)


def config_texts(suffix: str) -> list[Case]:
    """Configurations as files."""
    tables = (SHOP, SEARCHED, GIVEN, CATALOG)
    texts = [toml(each) if suffix == "toml" else json.dumps(each, indent=1) for each in tables]
    return [Case({f"config.{suffix}": text.encode()}, {}) for text in texts]


def read_config(folder: Path, _: dict[str, Json]) -> object:
    """Load a configuration file."""
    (path,) = folder.glob("config.*")
    return load_config(path)


def settings() -> list[Case]:
    """Configurations and overrides."""
    overridden: list[dict[str, Json]] = [
        {"table": each, "overrides": OVERRIDES} for each in (SHOP, SEARCHED, GIVEN, CATALOG)
    ]
    return [Case({}, each) for each in overridden]


def read_settings(_: Path, settings: dict[str, Json]) -> object:
    """Validate a configuration."""
    table, overrides = settings.get("table"), settings.get("overrides")
    if not isinstance(table, dict):
        return None
    texts = (
        [each for each in overrides if isinstance(each, str)] if isinstance(overrides, list) else []
    )
    return build_config(table, texts)


def _pairs() -> pl.DataFrame:
    number = np.arange(24)
    return pl.DataFrame(
        {
            "user": number // 4,
            "item": number * 5 % 8,
            "time": 1_600_000_000 + number * 86_400,
            "day": [f"2020-0{1 + n % 9}-1{n % 7}" for n in range(24)],
            "weight": number % 5 + 0.5,
            "part": number % 4 % 3,
            "name": [f"thing, {n % 8}" for n in range(24)],
        }
    )


def item_rows() -> pl.DataFrame:
    """Eight items with attributes of every kind."""
    number = np.arange(8)
    return pl.DataFrame(
        {
            "item": number,
            "title": [f"Item “{n}”" for n in range(8)],
            "price": [f"{n + 1}.50 EUR" for n in range(8)],
            "count": number * 3,
            "kind": ["a", "b"] * 4,
            "tags": ["x|y", "z"] * 4,
            "date": [f"201{n}-05-0{n + 1}" for n in range(8)],
        }
    )


def readers() -> list[Case]:
    """Interactions in every format, some with an item table."""
    pairs, items = _pairs(), item_rows()
    lists = "\n".join(f"{u} " + " ".join(str((u + i) % 8) for i in range(4)) for u in range(6))
    usual: dict[str, Json] = {"user": "user", "item": "item", "time": "time", "weight": "weight"}
    gathered: dict[str, Json] = {
        **usual,
        "item_columns": {"label": {"column": "name", "pattern": "(\\d)"}},
        "clean": {"rules": [{"column": "weight", "min": 1}], "duplicates": "sum", "k_core": 1},
    }
    inter = pairs.select(pl.col("user").alias("user:token"), pl.col("item").alias("item:token"))
    mmrec = pairs.select("user", "item", pl.col("part").alias("x_label"))
    mmrec = mmrec.rename({"user": "userID", "item": "itemID"})
    arrays = {"user": np.arange(12) // 2, "item": np.arange(12) % 8}
    halves = {"train": np.arange(16).reshape(2, 8) % 5, "test": np.arange(8).reshape(2, 4) % 5}
    found = [
        ("csv", written(pairs, "csv"), usual),
        ("csv", written(pairs, "csv"), gathered),
        ("csv", written(pairs, "csv"), {"time": "day"}),
        ("csv", written(pairs, "csv"), {"user": "column_1", "item": "column_2"}),
        ("tsv", written(pairs, "tsv"), usual | {"label": "part"}),
        ("jsonl", written(pairs, "jsonl"), usual),
        ("parquet", written(pairs, "parquet"), usual),
        (
            "parquet",
            written(pairs.cast({"weight": pl.Decimal(9, 2), "user": pl.Int32}), "parquet"),
            usual,
        ),
        ("txt", lists.encode(), {}),
        ("inter", written(inter, "tsv"), {}),
        ("inter", written(mmrec, "tsv"), {}),
        ("npz", numpy_archive(arrays), {}),
        ("npz", numpy_archive(halves), {"arrays": {"train": "train", "test": "test"}}),
    ]
    cases = [Case({f"pairs.{ending}": content}, settings) for ending, content, settings in found]
    cases += [
        Case({f"pairs.{ending}.gz": zipped(content)}, settings)
        for ending, content, settings in found
        if ending in ("csv", "tsv", "jsonl", "txt", "inter")
    ]
    plain = {"pairs.csv": written(pairs, "csv")}
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        settings = usual | {"items_id": "item", "item_title": "title"}
        cases.append(Case({f"items.{ending}": written(items, ending), **plain}, settings))
    token = items.rename({"item": "item:token", "title": "title:token_seq", "count": "count:float"})
    cases.append(Case({"items.item": written(token, "tsv"), **plain}, usual | {"items_id": "item"}))
    return cases


def read_data(folder: Path, settings: dict[str, Json]) -> object:
    """Load a data set."""
    paths = {
        name.partition(".")[0]: name for name in sorted(path.name for path in folder.iterdir())
    }
    table: dict[str, Json] = {**settings, "path": str(folder / paths["pairs"])}
    if "items" in paths:
        table["items"] = str(folder / paths["items"])
    return load(cast(DataConfig, build_config({"data": table, "model": {"name": "popular"}}).data))
