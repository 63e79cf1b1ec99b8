"""One fault: planted in this process, and looked for by the tests that may notice it."""

from places import ROOT  # isort: skip
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType

import planting
import pytest
from lines import OPTIONS, Bits, Test, forget
from mutations import Mutant

HANG_SECONDS = 20.0
"""A test that takes so much longer than ten times its usual seconds has noticed the fault."""


class SlowTest(BaseException):
    """A test takes much longer than it does without the fault."""


class Judge:
    """Runs the planned tests in their order until one fails or the time is over."""

    def __init__(self, planned: Sequence[Test], seconds: float) -> None:
        self.planned = {test.name: (at, test.seconds) for at, test in enumerate(planned)}
        self.end = time.monotonic() + seconds
        self.ran, self.failed = 0, ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the planned tests, in their order."""
        kept = [item for item in items if item.nodeid in self.planned]
        items[:] = sorted(kept, key=lambda item: self.planned[item.nodeid][0])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Stop a test that hangs."""
        usual = self.planned[item.nodeid][1]
        signal.signal(signal.SIGALRM, _too_slow)
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS + 10 * usual)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember which test failed."""
        self.ran += report.when == "call"
        if report.failed and not self.failed:
            self.failed = report.nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Begin no further test once the time is over."""
        result = yield
        if time.monotonic() > self.end:
            item.session.shouldstop = "time is over"
        return result


def _too_slow(_: int, __: FrameType | None) -> None:
    raise SlowTest


def judge(
    mutant: Mutant, scratch: Path, planned: Sequence[Test], functions: "Functions", seconds: float
) -> object:
    """Plant a fault in this process and run the tests."""
    path = ROOT / mutant.file
    source = mutant.source(path.read_text(encoding="utf-8"))
    module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    fault = {"name": module, "path": str(path), "source": source}
    (scratch / "fault.json").write_text(json.dumps(fault), encoding="utf-8")
    os.environ[planting.FAULT] = str(scratch / "fault.json")
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
    if functions.replaced(mutant, source):
        forget()
    else:
        planting.plant(**fault)
        for name in list(sys.modules):
            if name.partition(".")[0] in ("graphrec", "tests"):
                del sys.modules[name]
    reviewer = Judge(planned, seconds)
    files = dict.fromkeys(test.file for test in planned)
    code = pytest.main([*OPTIONS, "-x", f"--basetemp={scratch}/pytest", *files], plugins=[reviewer])
    return [int(code), reviewer.failed, reviewer.ran]


class Functions:
    """All functions of graphrec that exist, by their code: a fault in one replaces its code."""

    def __init__(self, at_import: Bits) -> None:
        self._at_import = at_import
        self._found: dict[tuple[str, str, int], list[FunctionType]] = {}
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                code = each.__code__
                if code.co_filename.startswith(planting.PACKAGE):
                    self._found.setdefault(_key(code), []).append(each)

    def replaced(self, mutant: Mutant, source: str) -> bool:
        """Put the fault into the functions as they are; False where that cannot be done.

        A default or a constant was used when the module was imported; so was a function that was
        called then.
        """
        path = str(ROOT / mutant.file)
        code = _outermost(compile(source, path, "exec", dont_inherit=True), mutant)
        if code is None:
            return False
        lines = sum(1 << line for _, _, line in code.co_lines() if line)
        called = self._at_import.get(mutant.file.removeprefix("graphrec/"), 0)
        found = self._found.get(_key(code), [])
        if not found or called & lines & ~(1 << code.co_firstlineno):
            return False
        if any(each.__code__.co_freevars != code.co_freevars for each in found):
            return False
        for each in found:
            each.__code__ = code
        return True


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _outermost(module: CodeType, mutant: Mutant) -> CodeType | None:
    """Return the code of the outermost function around a fault, None where there is none."""
    for const in module.co_consts:
        if not isinstance(const, CodeType):
            continue
        lines = [line for _, _, line in const.co_lines() if line]
        lines += [line for inner in _inner(const) for _, _, line in inner.co_lines() if line]
        if min(lines) <= mutant.line <= max(lines):
            is_class = not const.co_flags & 0x2  # CO_NEWLOCALS: a function
            if is_class:
                return _outermost(const, mutant)
            header = const.co_firstlineno >= mutant.line
            return None if header else const
    return None


def _inner(code: CodeType) -> Iterator[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _inner(const)
