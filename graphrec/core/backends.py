"""Import DGL where it is installed, and choose the backend that ``auto`` stands for."""

import functools
import importlib
import os
from types import ModuleType
from typing import Literal

import torch

from graphrec.core.errors import ConfigError
from graphrec.core.names import resolve

Backend = Literal["torch", "pyg", "dgl"]
BACKENDS: dict[str, Backend] = {"torch": "torch", "pyg": "pyg", "dgl": "dgl"}


def import_dgl() -> ModuleType:
    """Import DGL with the PyTorch backend.

    Raises:
        ConfigError: DGL is missing or broken; the message says which version to install.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    try:
        return importlib.import_module("dgl")
    except Exception as error:  # DGL raises many kinds when its libraries do not match torch
        raise ConfigError(
            f"The dgl backend is not usable ({type(error).__name__}: {error}). Install it with "
            f"pip install 'graphrec[dgl]' (dgl 1.1.3; it is built for Python 3.11 only), or set "
            f"run.backend = 'torch'."
        ) from error


def choose_backend(name: str, device: torch.device) -> Backend:
    """Turn ``auto`` into a backend: DGL on a CPU where it works, else torch.

    On a CPU DGL sums neighbours about twice as fast as torch's sparse product
    (benchmarks/speed); its wheels for current torch have no CUDA kernels.
    """
    if name != "auto":
        return resolve(name, BACKENDS, "backend")
    return "dgl" if device.type == "cpu" and _dgl_works() else "torch"


@functools.cache
def _dgl_works() -> bool:
    try:
        import_dgl()
    except ConfigError:
        return False
    return True
