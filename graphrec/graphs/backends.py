"""The optional DGL import, and which kernels ``auto`` means."""

import importlib
import os
from types import ModuleType
from typing import Literal

from graphrec.errors import ConfigError
from graphrec.names import resolve

Backend = Literal["torch", "pyg", "dgl"]


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
            f"pip install 'graphrec[dgl]' (dgl 1.1.3, Python 3.11), or set run.backend = 'torch'."
        ) from error


def choose_backend(name: str) -> Backend:
    """Turn ``auto`` into a backend.

    ``torch`` wins because every machine has it and because its sums run in one fixed order, so a
    result does not depend on what else is installed; see docs/architecture.md for the timings.
    """
    known: dict[str, Backend] = {"auto": "torch", "torch": "torch", "pyg": "pyg", "dgl": "dgl"}
    return resolve(name, known, "backend")
