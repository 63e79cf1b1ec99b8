"""The lines of graphrec that each test runs, and which tests may notice a fault in one of them."""

from places import ROOT  # isort: skip
import functools
import gzip
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import planting
import pytest
from forks import forked
from mutations import Mutant

OPTIONS = ("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line")

RECORDING_SECONDS = 1500.0
"""Limit of one file of tests while lines are recorded."""

ALWAYS = ("test_config_surface.py", "test_config.py", "test_completeness.py")
"""Files that look at modules from outside, tried where no test runs a line."""

Bits = dict[str, int]
"""Lines as the bits of a number, by file."""


class Test(NamedTuple):
    """A test, its seconds, and the lines that it runs, as bits by file."""

    name: str
    seconds: float
    lines: Bits

    @property
    def file(self) -> str:
        """The file that it stands in."""
        return self.name.partition("::")[0]


class Recorder:
    """Notes the lines and the seconds of each test that passes, those of its fixtures included."""

    def __init__(self, folder: Path) -> None:
        self.lines, self.folder = planting.Lines(), folder
        self.found: list[tuple[str, float, dict[str, str]]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Take the lines after each test, also those of processes that it has started."""
        self.passed, started = True, time.perf_counter()
        result = yield
        seconds, own = time.perf_counter() - started, self.lines.taken()
        for path in self.folder.iterdir():
            for name, bits in json.loads(path.read_text(encoding="utf-8")).items():
                own[name] = hex(int(own.get(name, "0"), 16) | int(bits, 16))
            path.unlink()
        if self.passed:
            self.found.append((item.nodeid, seconds, own))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails or is skipped cannot notice anything."""
        self.passed = self.passed and report.passed


def record(file: str, scratch: Path) -> object:
    """Run a file of tests and return what each of them runs."""
    folder = scratch / "lines"
    folder.mkdir()
    os.environ[planting.LINES] = str(folder)
    forget()
    recorder = Recorder(folder)
    recorder.lines.start()
    pytest.main([*OPTIONS, f"--basetemp={scratch}/pytest", file], plugins=[recorder])
    recorder.lines.stop()
    return recorder.found


def lines_of_tests(workers: int, chosen: Sequence[str]) -> list[Test]:
    """Return what every test runs, from the map that is kept or else recorded now."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    files = [file for file in files if not chosen or any(file.startswith(each) for each in chosen)]
    sources = sorted([*(ROOT / "graphrec").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
    key = hashlib.sha256("".join(files).encode())
    for path in sources:
        key.update(path.read_bytes())
    kept = Path(tempfile.gettempdir()) / f"graphrec-lines-{key.hexdigest()[:16]}.json.gz"
    if not kept.exists():
        found = []
        for outcome in forked(files, record, workers, RECORDING_SECONDS):
            if outcome.status != "done":
                print(f"{outcome.task}: {outcome.status} {outcome.value or ''}", flush=True)
                continue
            found += cast(list[object], outcome.value)
            print(
                f"{len(found)} tests recorded: {outcome.task} {outcome.seconds:.0f} s", flush=True
            )
        kept.write_bytes(gzip.compress(json.dumps(found).encode(), 1))
    return [
        Test(name, seconds, {file: int(bits, 16) for file, bits in lines.items()})
        for name, seconds, lines in json.loads(gzip.decompress(kept.read_bytes()))
    ]


def plan(mutant: Mutant, tests: Sequence[Test], at_import: Bits) -> list[Test]:
    """Return the tests that may notice a fault, those that run its line first.

    Results that a file of tests makes once are looked at by tests that do not run the line: all
    tests of a file are tried in which one does. The file named after the module comes first.
    """
    file = mutant.file.removeprefix("graphrec/")
    wanted = sum(1 << line for line in range(mutant.first, mutant.last + 1))
    if at_import.get(file, 0) & wanted:  # a default, a constant: whoever runs the module may notice
        wanted = -1 ^ at_import.get(file, 0)
    direct = [test for test in tests if test.lines.get(file, 0) & wanted]
    names = {test.file for test in direct}
    stem, folder = Path(file).stem, Path(file).parent
    mirror = f"tests/{folder / f'test_{stem}.py'}".replace("/./", "/")
    outside = {mirror} | {f"tests/{name}" for name in ALWAYS} if not direct or wanted < 0 else set()
    seconds: dict[str, float] = {}
    for test in tests:
        seconds[test.file] = seconds.get(test.file, 0.0) + test.seconds
    rest = [test for test in tests if test.file in names | outside and test not in direct]

    def rank(test: Test) -> tuple[bool, bool, float, str, float]:
        near = test.file != mirror, test.file not in outside
        return *near, seconds[test.file], test.file, test.seconds

    return sorted(direct, key=rank) + sorted(rest, key=rank)


def forget() -> None:
    """Empty the caches of graphrec and its tests: what they hold lies in the parent's folders."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("graphrec", "tests"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
