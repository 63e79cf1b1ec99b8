"""One seed, many independent named streams.

A stream is a pure function of ``(seed, name, step)``. Nothing has to be saved to resume: the
random numbers of epoch 7 are the same whether or not the run was interrupted before it.
"""

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, name: str, step: int = 0) -> int:
    """Return the 63-bit seed of stream ``name`` at ``step``."""
    digest = hashlib.sha256(f"{seed}/{name}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_stream(seed: int, name: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for stream ``name`` at ``step``."""
    return np.random.default_rng(stream_seed(seed, name, step))


def torch_stream(
    seed: int, name: str, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a torch generator on ``device`` for stream ``name`` at ``step``."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, name, step))
