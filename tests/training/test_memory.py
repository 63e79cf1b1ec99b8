import json
import os
import platform
import subprocess
import sys

import pytest

BLOCK = """
import json, resource
from graphrec.training.memory import keep_freed_memory
import torch

def faults():
    for _ in range(3):
        torch.empty(2**24).fill_(1.0)  # 64 MiB, 16,384 pages of 4 KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_freed_memory()
before = faults()
print(json.dumps([kept, faults() - before]))
"""
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's malloc")


def asked(**environment: str) -> tuple[bool, int]:
    """Whether freed memory is kept, and the page faults of three more large tensors."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    printed = subprocess.run(
        [sys.executable, "-c", BLOCK], env=inherited | environment, capture_output=True, check=True
    )
    kept, faults = json.loads(printed.stdout)
    return kept, faults


@needs_glibc
def test_a_large_block_that_was_freed_costs_no_more_page_faults() -> None:
    kept, faults = asked()
    assert kept
    assert faults < 1000


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_who_has_set_malloc_keeps_it(name: str) -> None:
    value = "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "2"
    assert not asked(**{name: value})[0]
