"""One seed, many independent named streams.

A stream is a pure function of ``(seed, name, step, rank)``. Nothing has to be saved to resume: the
random numbers of epoch 7 are the same whether or not the run was interrupted before it. Processes
that train one model together draw from streams of their own, by their rank; rank 0 draws what a
single process does.
"""

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, name: str, step: int = 0, rank: int = 0) -> int:
    """Return the 63-bit seed of stream ``name`` at ``step`` in the process of a rank."""
    key = f"{seed}/{name}/{step}" + (f"/{rank}" if rank else "")
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_stream(seed: int, name: str, step: int = 0, rank: int = 0) -> np.random.Generator:
    """Return a NumPy generator for stream ``name`` at ``step``."""
    return np.random.default_rng(stream_seed(seed, name, step, rank))


def torch_stream(
    seed: int, name: str, step: int = 0, device: torch.device | str = "cpu", rank: int = 0
) -> torch.Generator:
    """Return a torch generator on ``device`` for stream ``name`` at ``step``."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, name, step, rank))
