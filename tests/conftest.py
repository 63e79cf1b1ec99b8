"""One thread: the tests are small, and sums in one order give the numbers on record.

Processes that tests start get one as well, or they would wait for each other. Examples of
hypothesis are the same every time, and no test fails because the machine is busy.
"""

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

LONG = {"test_work.py", "test_readme.py", "test_docs.py", "test_postgresql.py", "test_resume.py"}
"""Files whose tests start processes: first, so that no core waits for the last of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first; the others stay in order."""
    items.sort(key=lambda item: item.path.name not in LONG)
