"""Run and stop processes that share a piece of work on this machine."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from graphrec.core.config import Json

POLL_SECONDS = 1.0
"""Seconds between two looks at other processes."""

STOP_SECONDS = 30
"""Seconds that processes get to leave things in order when the work is stopped."""

PARENT = "GRAPHREC_PARENT"
"""Environment variable with the process id of the process that started this one."""


def this_process() -> dict[str, Json]:
    """Return the facts that identify this process: machine, its start, process id and own start."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "ticks": _ticks(pid)}


def is_here(process: Mapping[str, Json]) -> bool:
    """Return whether a process belongs to this machine, even if the machine has a new name."""
    boot = process.get("boot")
    return process.get("host") == socket.gethostname() or (boot is not None and boot == _boot())


def is_alive(process: Mapping[str, Json]) -> bool:
    """Return whether a process of this machine still runs, and not a later one with its id."""
    pid, boot = process.get("pid"), process.get("boot")
    if not isinstance(pid, int) or pid <= 0 or (boot is not None and boot != _boot()):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process exists and belongs to another user
        pass
    ticks = process.get("ticks")
    return ticks is None or ticks == _ticks(pid)


def _boot() -> str | None:
    """Return an id of the last start of the machine, where the system provides one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """Return the start of a process in ticks since the machine started, where it is known."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(after_name[19])


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, even in a process that was started in the background.

    A worker process is stopped when the process that started it is gone.
    """
    if threading.current_thread() is not threading.main_thread():  # only this one gets signals
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    _stop_with_parent()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_with_parent() -> None:
    """Send this process SIGTERM as soon as the process that started it as a worker is gone."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_processes(
    words: Mapping[Path, Sequence[str]], at_once: int, look: Callable[[], None]
) -> list[Path]:
    """Run ``python -m WORDS`` for each log file; return the logs of the processes that failed.

    The cores are divided among the processes that run at once. When this process is stopped, it
    stops them.

    Args:
        words: log file -> arguments after ``python -m``.
        at_once: number of processes that run at the same time.
        look: called once per ``POLL_SECONDS`` while they run.
    """
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, PARENT: str(os.getpid())}
    waiting, running = list(words), dict[Path, subprocess.Popen[bytes]]()
    failed = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                path = waiting.pop(0)
                with path.open("a") as log:
                    command = [sys.executable, "-m", *words[path]]
                    running[path] = subprocess.Popen(
                        command, stdout=log, stderr=log, env=environment
                    )
            time.sleep(POLL_SECONDS)
            look()
            for path, process in list(running.items()):
                if process.poll() is not None:
                    del running[path]
                    failed += [path] if process.returncode else []
    finally:
        _stop(list(running.values()))
    return failed


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask the processes that still run to leave things in order, and wait for them."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
