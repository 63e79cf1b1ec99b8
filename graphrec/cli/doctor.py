"""Diagnose this installation: versions, backends, devices, missing extras."""

import importlib.util
import platform
import sys

import torch

from graphrec.core.backends import import_dgl
from graphrec.core.environment import version_of
from graphrec.core.errors import ConfigError
from graphrec.features.content import weights

PACKAGES = (
    "graphrec",
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
    "pydantic",
    "safetensors",
)
TOOLS = {
    "dgl": "dgl",
    "optuna": "tune",
    "cmaes": "tune",
    "matplotlib": "tune",
    "pytest": "dev",
    "xdist": "dev",
    "hypothesis": "dev",
    "ruff": "dev",
    "mypy": "dev",
    "optuna_dashboard": "dev",
    "psycopg": "dev",
}
"""Extra of graphrec that installs each module, besides those of encoders."""

EXTRAS = {module: f"graphrec[{extra}]" for module, extra in {**TOOLS, **weights.EXTRAS}.items()} | {
    "resemblyzer": "--no-deps Resemblyzer"
}
"""Import name of each optional package, with what to install for it."""


def diagnose() -> dict[str, dict[str, str]]:
    """Return the findings by topic, in words."""
    return {
        "versions": {"python": platform.python_version()}
        | {name: version_of(name) or "missing" for name in PACKAGES},
        "backends": {"torch": "ready", "pyg": "ready", "dgl": _dgl()},
        "devices": _devices(),
        "extras": {name: _extra(name, remedy) for name, remedy in EXTRAS.items()},
    }


def _dgl() -> str:
    try:
        return f"ready ({import_dgl().__version__})"
    except ConfigError as error:
        return str(error)


def _devices() -> dict[str, str]:
    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    return devices


def _extra(name: str, remedy: str) -> str:
    if importlib.util.find_spec(name) is not None:
        return "installed"
    if name == "dgl" and sys.version_info >= (3, 12):
        return "missing; it is built for Python 3.11 only, run.backend = 'torch' does without"
    return f"missing; pip install {remedy}" if " " in remedy else f"missing; pip install '{remedy}'"
