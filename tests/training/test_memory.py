"""Freed blocks stay with malloc; benchmarks/speed/freed_memory.py measures what that saves."""

import json
import os
import platform
import subprocess
import sys

import pytest

BLOCK = """
import ctypes, json
from graphrec.training.memory import keep_freed_memory
import torch

class Told(ctypes.Structure):  # mallinfo2 of malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

malloc = ctypes.CDLL(None)
malloc.mallinfo2.restype = Told
kept = keep_freed_memory()
before = malloc.mallinfo2()
block = torch.empty(2**24)  # 64 MiB: above 32 MiB, each block would be a mapping of its own
mapped = malloc.mallinfo2().hblkhd - before.hblkhd
del block
print(json.dumps([kept, mapped, malloc.mallinfo2().fordblks - before.fordblks]))
"""
SIZE = 2**26
needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc"
    or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 33),
    reason="asks glibc's malloc, from 2.33 on",
)


def asked(**environment: str) -> tuple[bool, int, int]:
    """Whether freed memory is kept, and of a large tensor the bytes mapped and free after it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    printed = subprocess.run(
        [sys.executable, "-c", BLOCK], env=inherited | environment, capture_output=True, check=True
    )
    kept, mapped, free = json.loads(printed.stdout)
    return kept, mapped, free


@needs_glibc
def test_a_large_block_that_was_freed_stays_with_the_process() -> None:
    kept, mapped, free = asked()
    assert kept
    assert mapped == 0
    assert free >= SIZE // 2  # some of it may fill gaps that were free before


@needs_glibc
@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_who_has_set_malloc_keeps_it(name: str) -> None:
    value = "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "2"
    kept, mapped, free = asked(**{name: value})
    assert not kept
    assert mapped >= SIZE
    assert free < SIZE // 2
