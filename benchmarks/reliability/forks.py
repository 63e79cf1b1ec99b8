"""Tasks in forked processes: what the parent has loaded is there at once, and nothing leaks."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

Task = TypeVar("Task")
Value = object
"""What a task returns, as JSON."""

MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where scratch folders lie."""


class Outcome(NamedTuple, Generic[Task]):
    """What became of a task: ``done`` with a value, ``broken``, ``limit``, or the signal."""

    task: Task
    status: str
    value: Value
    seconds: float


class _Process(NamedTuple, Generic[Task]):
    task: Task
    pid: int
    scratch: Path
    started: float


def forked(
    tasks: Iterable[Task], work: Callable[[Task, Path], Value], workers: int, limit: float
) -> Iterator[Outcome[Task]]:
    """Yield the outcome of every task, each in a process and a scratch folder of its own.

    The parent must have no threads: a lock that one of them holds would stay locked in the child.
    """
    waiting, running = iter(tasks), list[_Process[Task]]()
    more = True
    try:
        while more or running:
            while more and len(running) < workers:
                try:
                    task = next(waiting)
                except StopIteration:
                    more = False
                    break
                running.append(_start(task, work))
            for process in list(running):
                outcome = _ended(process, limit)
                if outcome is not None:
                    running.remove(process)
                    yield outcome
            time.sleep(0.005)
    finally:
        for process in running:
            _clear(process)


def _start(task: Task, work: Callable[[Task, Path], Value]) -> _Process[Task]:
    scratch = Path(tempfile.mkdtemp(prefix="graphrec-fork-", dir=MEMORY_FOLDER))
    pid = os.fork()
    if pid:
        return _Process(task, pid, scratch, time.monotonic())
    code = 1
    try:
        os.setsid()
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        with (scratch / "output.txt").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        value = work(task, scratch)
        (scratch / "value.json").write_text(json.dumps(value), encoding="utf-8")
        code = 0
    except BaseException:
        traceback.print_exc()
        (scratch / "broken.txt").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def _ended(process: _Process[Task], limit: float) -> Outcome[Task] | None:
    pid, status = os.waitpid(process.pid, os.WNOHANG)
    seconds = time.monotonic() - process.started
    if pid == 0:
        if seconds < limit:
            return None
        word, value = "limit", None
    elif os.WIFSIGNALED(status):
        word, value = signal.Signals(os.WTERMSIG(status)).name, None
    elif os.WEXITSTATUS(status) == 0:
        word = "done"
        value = json.loads((process.scratch / "value.json").read_text(encoding="utf-8"))
    else:
        broken = process.scratch / "broken.txt"
        word, value = "broken", broken.read_text(encoding="utf-8") if broken.exists() else ""
    _clear(process, alive=pid == 0)
    return Outcome(process.task, word, value, seconds)


def _clear(process: _Process[Task], *, alive: bool = True) -> None:
    """End the process and all that it started, and remove its folder."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if alive:
        os.waitpid(process.pid, 0)
    shutil.rmtree(process.scratch, ignore_errors=True)


def require_no_threads() -> None:
    """Stop where this process has threads that a fork would not carry along but wait for.

    Those of the allocator and of the cleaner that polars starts when it is imported are none.
    """
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    harmless = ("jemalloc", "polars-ooc")
    if sum(not name.startswith(harmless) for name in names) > 1:
        raise SystemExit(f"this process has threads and cannot be forked safely: {names}")
