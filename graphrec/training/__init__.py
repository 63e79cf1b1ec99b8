"""Fit a model to training interactions; a fit can be resumed, and cannot see the test part."""

from graphrec.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    restore_weights,
    write_checkpoint,
)
from graphrec.training.fit import fit
from graphrec.training.resume import CheckpointPolicy, FitResult, require_resumable

__all__ = [
    "Checkpoint",
    "CheckpointPolicy",
    "FitResult",
    "fit",
    "read_checkpoint",
    "require_resumable",
    "restore_weights",
    "write_checkpoint",
]
