"""Checkpoints: one safetensors file whose header carries the JSON state. Never a pickle.

One file is one rename, so a kill at any moment leaves the old checkpoint or the new one, and
never tensors of one epoch beside the counters of another. A sha256 over both finds truncation
and tampering.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save
from torch import Tensor

from graphrec.config import Json
from graphrec.errors import TrainingError
from graphrec.files import write_bytes


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and a JSON state."""

    tensors: dict[str, Tensor]
    state: dict[str, Json]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix.``, without it."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically.

    Raises:
        DataError: the file cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    state = json.dumps(checkpoint.state)
    metadata = {"state": state, "sha256": _digest(tensors, state)}
    write_bytes(path, save(tensors, metadata=metadata))


def read_checkpoint(path: Path, identity: Mapping[str, Json] | None = None) -> Checkpoint:
    """Read and verify; with ``identity``, also that it belongs to that run.

    Raises:
        TrainingError: the file is missing, truncated, was changed or is of another run.
    """
    remedy = "Delete it and start again without --resume."
    try:
        tensors = load_file(path)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise TrainingError(f"No checkpoint at {path}. Start without --resume.") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise TrainingError(f"Checkpoint {path} is damaged ({error}). {remedy}") from error
    state = metadata.get("state", "")
    if metadata.get("sha256") != _digest(tensors, state):
        raise TrainingError(f"Checkpoint {path} was changed after it was written. {remedy}")
    checkpoint = Checkpoint(tensors, json.loads(state))
    if identity is not None:
        _require_identity(path, checkpoint.state.get("identity"), identity)
    return checkpoint


def _require_identity(path: Path, saved: Json, wanted: Mapping[str, Json]) -> None:
    known = saved if isinstance(saved, dict) else {}
    # A checkpoint that names its backend is of schema version 1, whose hash of the configuration
    # was one of paths and machine too; the configuration beside it is what is compared.
    compared = {k: v for k, v in wanted.items() if k != "config" or "backend" not in known}
    different = [key for key, value in compared.items() if known.get(key) != value]
    if different:
        raise TrainingError(
            f"Checkpoint {path} belongs to another run: {', '.join(different)} differ. Use it with "
            f"the configuration and data that it was made with, or start again in another folder."
        )


def _digest(tensors: dict[str, Tensor], state: str) -> str:
    sha = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        values = tensors[name].contiguous().numpy()
        sha.update(f"{name}/{values.dtype.str}{values.shape}/".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()
