"""Memory that tensors give back stays with the process."""

import ctypes
import os
import sys

LARGEST = 2**30
"""Bytes of the largest block that is kept."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Let malloc keep freed blocks of up to 1 GiB; tell whether it does.

    A step makes and frees the same tensors again and again. By default glibc maps each that is
    larger than 32 MiB anew, and gives the end of its heap back, so that every page of them costs a
    page fault: a step of LightGCN on 255,000 nodes has 300,000. The price is memory, since blocks
    of different sizes do not always fit into what is kept.

    It is for the rest of the process. Nothing happens without glibc, or where the environment
    sets ``GLIBC_TUNABLES`` or a ``MALLOC_..._`` of its own.
    """
    chosen = any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(option, LARGEST) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
    )
