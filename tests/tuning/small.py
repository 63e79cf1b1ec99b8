"""Small studies on the data of ``tests.flow``."""

from functools import cache
from pathlib import Path

from graphrec import RunConfig, build_config, tune
from tests import flow

SEARCH: flow.Table = {
    "training.lr": {"low": 1e-3, "high": 1e-1, "log": True},
    "model.dim": [4, 8],
}


def table_of(model: str = "mf", **tune_settings: object) -> flow.Table:
    """The raw configuration of a study of four trials."""
    table = flow.table_of(flow.data(), model)
    own: flow.Table = {"trials": 4, "final_seeds": 1, **tune_settings}  # type: ignore[dict-item]
    return table | {"search": SEARCH, "tune": own}


def config_of(*overrides: str, **tune_settings: object) -> RunConfig:
    return build_config(table_of(**tune_settings), overrides)


@cache
def finished() -> Path:
    """The folder of a finished study, made once per process; tests must not change it."""
    folder = flow.data() / "studies" / "mf"
    tune(config_of(), folder)
    return folder
