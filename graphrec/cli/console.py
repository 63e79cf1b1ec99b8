"""Show output to people: progress bars and tables on a terminal, plain lines elsewhere."""

import json
import logging
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from graphrec.cli.layout import layout
from graphrec.core.escaping import one_line, visible
from graphrec.core.processes import stoppable
from graphrec.core.progress import EPOCHS, Reporter, reporting
from graphrec.experiment.log import EPOCH

FILE_WIDTH = 80
"""Number of columns of output to a file or pipe."""

INTERRUPTED = 130
"""Exit code of a command that was stopped."""

PLAIN_SECONDS = 5.0
"""Seconds between two lines of a plain progress log."""


class BarReporter:
    """Reporter with one rich progress bar per step."""

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
    """Reporter that logs a line of each step every few seconds, for files and pipes.

    Short steps have no line, nor have steps that stand still, such as those that wait for other
    processes. The epochs of a training have none, because each is a line of the log already.
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
        """Log a line if it is new and the last one of this step is old enough."""
        logged_at, logged = self._last[handle]
        description, total = self._steps[handle]
        if description == EPOCHS or time.monotonic() - logged_at < PLAIN_SECONDS:
            return
        of_total = f" of {total}" if total is not None else ""
        line = f"{description}: {done}{of_total}  {note}".rstrip()
        if line != logged:
            self._last[handle] = time.monotonic(), line
            logging.getLogger("graphrec").info(line)

    def finish(self, handle: int) -> None:
        """Do nothing: there is nothing to close."""


class _OneLine(logging.Formatter):
    """Formatter of one line per record, whatever a name in it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = one_line(record.message)
        return super().formatMessage(record)


def _is_no_epoch(record: logging.LogRecord) -> bool:
    """Return whether a record is no epoch, because a bar shows the epochs."""
    return getattr(record, "event", "") != EPOCH


@contextmanager
def showing(console: Console) -> Iterator[None]:
    """Send the log and the progress of long steps to ``console``."""
    logger = logging.getLogger("graphrec")
    logger.setLevel(logging.INFO)
    if console.is_terminal:
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, show_level=False, markup=False
        )
        handler.setFormatter(_OneLine("%(message)s"))
        handler.addFilter(_is_no_epoch)
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    try:
        with _reporter(console) as reporter, reporting(reporter):
            yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def interruptible(words: Sequence[str | Path] = ()) -> Iterator[None]:
    """Show the progress of a command; when stopped, print the command that resumes it.

    Args:
        words: arguments of that command, after ``graphrec``; by default the given ones.
    """
    try:
        with stoppable(), showing(stderr()):
            yield
    except KeyboardInterrupt:
        command = shlex.join(map(str, ["graphrec", *(words or sys.argv[1:])]))
        stderr().print(f"Stopped. Go on with: {command}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _reporter(console: Console) -> Iterator[Reporter]:
    if not console.is_terminal:
        yield PlainReporter()
        return
    # Bar and note share the space that the others leave, so that counts and time are never cut.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[note]}",
            markup=False,
            table_column=Column(ratio=3, no_wrap=True, overflow="ellipsis"),
        ),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield BarReporter(progress)


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    lines: bool = False,
    least: Sequence[int] = (),
) -> None:
    """Print a table, no wider than the console; see ``layout.layout``.

    A path in the title stays in one piece, however long it is.
    """
    console = stdout()
    whole = textwrap.fill(
        visible(title), console.width, break_long_words=False, break_on_hyphens=False
    )
    console.print(Text(whole, style="bold"), soft_wrap=True)
    for part in layout(header, rows, console.width, lines=lines, least=least):
        console.print(part)


def print_pairs(
    title: str,
    pairs: Mapping[str, str],
    as_json: bool,
    header: tuple[str, str] = ("name", "description"),
) -> None:
    """Print names with a text for each, as a table or as JSON."""
    if as_json:
        print(json.dumps(dict(pairs)))  # noqa: T201
        return
    print_table(title, header, [[name, text] for name, text in pairs.items()])


def say(text: str) -> None:
    """Print a line; a path in it stays in one piece, and no text is markup."""
    stdout().print(visible(text), soft_wrap=True)


def fail(message: str) -> None:
    """Print an error that a user can fix."""
    stderr().print(Text.assemble(("error:", "red"), " ", visible(message)), soft_wrap=True)


def stderr() -> Console:
    """Return the console for everything that is not the answer of a command."""
    return Console(file=sys.stderr, emoji=False, markup=False, highlight=False)


def stdout() -> Console:
    """Return the console for answers, with 80 columns where there is no terminal.

    Ids such as ``:x:`` and names such as ``[/x]`` are printed literally.
    """
    console = Console(emoji=False, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console
