"""Keep memory freed by tensors in the process (glibc malloc) instead of returning it."""

import ctypes
import os
import sys

LARGEST = 2**30
"""Bytes of the largest block that is kept."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Let malloc keep freed blocks of up to 1 GiB; return whether it does.

    A step allocates and frees the same tensors again and again. By default glibc maps each tensor
    of more than 32 MiB anew and returns the end of its heap, so that every page of them costs a
    page fault: a step of LightGCN on 255,000 nodes has 300,000. The price is memory, because blocks
    of different sizes do not always fit into the kept ones.

    The setting holds for the rest of the process. Nothing happens without glibc, or where the
    environment sets ``GLIBC_TUNABLES`` or a ``MALLOC_...`` variable.
    """
    chosen = any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(option, LARGEST) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
    )
