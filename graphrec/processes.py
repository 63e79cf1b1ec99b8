"""Processes that share a piece of work on this machine, and how they are stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

POLL_SECONDS = 1.0
"""Between two looks at what other processes do."""

STOP_SECONDS = 30
"""Given to processes to leave things in order when the work is stopped."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, also where the process was started in the background."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run_processes(
    words: Mapping[Path, Sequence[str]], at_once: int, look: Callable[[], None]
) -> list[Path]:
    """Run ``python -m WORDS`` for each log file; return the logs of those that failed.

    ``look`` is called while they run. Cores are shared out among those that run at once. When this
    process is stopped, they are.
    """
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
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
    """Ask those that are still at work to leave things in order, and wait for them."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
