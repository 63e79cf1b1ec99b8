"""What people see: progress bars and tables on a terminal, plain lines elsewhere."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from graphrec.progress import Reporter, reporting

FILE_WIDTH = 500
"""Columns of a table that goes to a file or pipe, where nothing should be cut off."""

INTERRUPTED = 130
"""Exit code of a command that was stopped."""

PLAIN_SECONDS = 5.0
"""Seconds between two lines of a plain progress log."""


class BarReporter:
    """One rich progress bar per step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, description: str, total: int | None) -> int:
        """Add a bar."""
        return self._progress.add_task(description, total=total, note="")

    def update(self, handle: int, done: int, note: str) -> None:
        """Move a bar."""
        self._progress.update(TaskID(handle), completed=done, note=note)

    def finish(self, handle: int) -> None:
        """Remove a bar."""
        self._progress.remove_task(TaskID(handle))


class PlainReporter:
    """A log line every few seconds of each step, for files and pipes; short steps leave none.

    Nor does a step that is where it was, as those that wait for other processes.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[str, int | None]] = []
        self._last: list[tuple[float, str]] = []

    def start(self, description: str, total: int | None) -> int:
        """Remember a step."""
        self._steps.append((description, total))
        self._last.append((time.monotonic(), ""))
        return len(self._steps) - 1

    def update(self, handle: int, done: int, note: str) -> None:
        """Log a line if the last one of this step is old enough, and another one."""
        spoken, said = self._last[handle]
        if time.monotonic() - spoken < PLAIN_SECONDS:
            return
        description, total = self._steps[handle]
        of_total = f" of {total}" if total is not None else ""
        line = f"{description}: {done}{of_total}  {note}".rstrip()
        if line != said:
            self._last[handle] = time.monotonic(), line
            logging.getLogger("graphrec").info(line)

    def finish(self, handle: int) -> None:
        """Nothing to close."""


@contextmanager
def showing(console: Console) -> Iterator[None]:
    """Send the log and the progress of long steps to ``console``."""
    logger = logging.getLogger("graphrec")
    logger.setLevel(logging.INFO)
    if console.is_terminal:
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, show_level=False, markup=False
        )
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    try:
        with _reporter(console) as reporter, reporting(reporter):
            yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Show progress of what the same command can go on with after Ctrl-C or SIGTERM."""
    try:
        with showing(stderr()):
            yield
    except KeyboardInterrupt:
        stderr().print(f"Stopped. The same command goes on with the {what}.")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _reporter(console: Console) -> Iterator[Reporter]:
    if not console.is_terminal:
        yield PlainReporter()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarReporter(progress)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are figures.

    Where there is too little room, text goes on in the next line; nothing is cut off.
    """
    whole = Text(title, no_wrap=True, overflow="ignore")  # a path must stay in one piece
    result = Table(title=whole, title_justify="left")
    for index, name in enumerate(header):
        result.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def print_pairs(title: str, pairs: dict[str, str], as_json: bool) -> None:
    """Print names with a text each, as a table or as JSON."""
    if as_json:
        print(json.dumps(pairs))  # noqa: T201
        return
    result = table(title, ["name", ""], [])
    result.columns[1].justify = "left"
    for name, text in pairs.items():
        result.add_row(name, escape(text))
    stdout().print(result)


def stderr() -> Console:
    """The console for everything that is not the answer of a command."""
    return Console(file=sys.stderr, emoji=False)


def stdout() -> Console:
    """The console for answers. Ids such as ``:x:`` stay as they are; a file has no width."""
    console = Console(emoji=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console
