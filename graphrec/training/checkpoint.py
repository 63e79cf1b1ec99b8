"""Write and read checkpoints: one safetensors file with the JSON state in its header, no pickle.

One file is one rename, so a kill at any moment leaves the old checkpoint or the new one, and
never tensors of one epoch beside the counters of another. A sha256 over both reveals truncation
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

from graphrec.core.config import Json
from graphrec.core.errors import TrainingError
from graphrec.core.files import write_bytes
from graphrec.models import Model

REMEDY = "Delete it and start again without --resume."


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and a JSON state."""

    tensors: dict[str, Tensor]
    state: dict[str, Json]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with ``prefix.``, without the prefix."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

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
    """Read and verify a checkpoint; with ``identity``, also that it belongs to that run.

    Raises:
        TrainingError: the file is missing, truncated, was changed, is no checkpoint of graphrec or
            belongs to another run.
    """
    try:
        tensors = load_file(path)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        digest = _digest(tensors, metadata.get("state", ""))
    except FileNotFoundError as error:
        raise TrainingError(f"No checkpoint at {path}. Start without --resume.") from error
    except (safetensors.SafetensorError, OSError, TypeError, ValueError, MemoryError) as error:
        raise damaged(path, error) from error
    if metadata.get("sha256") != digest:
        raise TrainingError(f"Checkpoint {path} was changed after it was written. {REMEDY}")
    try:
        state = json.loads(metadata["state"])
    except (KeyError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(state, dict):
        raise damaged(path, "its state is no table")
    checkpoint = Checkpoint(tensors, state)
    if identity is not None:
        _require_identity(path, checkpoint.state.get("identity"), identity)
    return checkpoint


def damaged(path: Path, why: object) -> TrainingError:
    """Return the error for a file without the content of a checkpoint."""
    return TrainingError(f"Checkpoint {path} is damaged ({why}). {REMEDY}")


def restore_weights(model: Model, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights of a checkpoint into a model.

    Raises:
        TrainingError: they are not the weights of such a model.
    """
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise damaged(path, f"its weights are not those of the model: {first}") from error


def _require_identity(path: Path, saved: Json, wanted: Mapping[str, Json]) -> None:
    known = saved if isinstance(saved, dict) else {}
    # A checkpoint that names its backend has schema version 1, whose hash of the configuration
    # covered paths and machine as well; then the configuration beside it is compared instead.
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
