"""Raise the precision of bfloat16 values where many terms are summed."""

import torch
from torch import Tensor


def single(x: Tensor) -> Tensor:
    """Return bfloat16 values as float32, and other values as they are."""
    return x.float() if x.dtype == torch.bfloat16 else x
