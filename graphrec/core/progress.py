"""Report the progress of long steps: silent in a library, bars or a plain log in a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")

EPOCHS = "Epochs"
"""Name of the training step. Each epoch is also an event of the log."""


class Reporter(Protocol):
    """Displays how far a step is."""

    def start(self, description: str, total: int | None) -> int:
        """Open a step and return its handle."""

    def update(self, handle: int, done: int, note: str) -> None:
        """Say that ``done`` units are finished; ``note`` is a short figure such as the loss."""

    def finish(self, handle: int) -> None:
        """Close a step."""


class _Silent:
    def start(self, description: str, total: int | None) -> int:
        return 0

    def update(self, handle: int, done: int, note: str) -> None:
        pass

    def finish(self, handle: int) -> None:
        pass


_reporter: ContextVar[Reporter] = ContextVar("reporter")


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show progress through ``reporter`` inside the block."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


class Step:
    """An open step: call ``advance`` as the work goes on."""

    def __init__(self, reporter: Reporter, handle: int, done: int) -> None:
        self._reporter, self._handle, self._done = reporter, handle, done

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Add finished units."""
        self.to(self._done + amount, note)

    def to(self, done: int, note: str = "") -> None:
        """Set the number of finished units."""
        self._done = done
        self._reporter.update(self._handle, done, note)


@contextmanager
def step(description: str, total: int | None = None, done: int = 0) -> Iterator[Step]:
    """Open a step of ``total`` units, of which ``done`` are finished already."""
    reporter = _reporter.get(_Silent())
    handle = reporter.start(description, total)
    try:
        opened = Step(reporter, handle, done)
        opened.advance(0)
        yield opened
    finally:
        reporter.finish(handle)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` and report the progress."""
    with step(description, total) as opened:
        for item in items:
            yield item
            opened.advance()
