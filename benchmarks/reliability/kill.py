"""Runs, studies and encodings killed at random moments: do they end as if nothing had happened?

    python benchmarks/reliability/kill.py [--kills 1000] [--workers 2] [--only tune]

Each case kills one to three processes with SIGKILL, at a random time or at a random one of the
calls that change files, goes on each time as ``--resume`` does, and compares what stands in the
folder in the end with a case that nobody killed. What is done follows from the seed; at which
instruction a kill by time falls does not.
"""

from places import HERE  # isort: skip
import argparse
import contextlib
import functools
import importlib
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from forks import MEMORY_FOLDER, forked, require_no_threads
from kill_work import KINDS, Differences, write_data

SHARES = {"run": 0.55, "tune": 0.15, "encode": 0.3}
"""Which part of the kills each kind of work gets."""

LIMIT = 240.0
"""Seconds of a case, after which it counts as one that never ends."""

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree")
"""Audit events that change files; ``open`` for writing and ``fsync`` count as well."""


class Case(NamedTuple):
    """One case: which work, and the seed of its kills."""

    work: str
    seed: int


class Changes:
    """Counts the calls by which this process changes files; kills it at the n-th."""

    def __init__(self, at: int | None = None) -> None:
        self.count, self.at = 0, at
        fsync = os.fsync

        def counted(number: int) -> None:
            self._one()
            fsync(number)

        os.fsync = counted
        sys.addaudithook(self._event)

    def _event(self, name: str, arguments: tuple[object, ...]) -> None:
        if name in CHANGES or (name == "open" and _writes(arguments)):
            self._one()

    def _one(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def victim(work: str, data: Path, out: Path, at: int | None) -> int:
    """Fork a process that works until it is done or kills itself at the n-th change."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        Changes(at)
        KINDS[work].go_on(data, out)
        code = 0
    finally:
        os._exit(code)


def measured(data: Path, folder: Path) -> dict[str, tuple[float, int]]:
    """Do all work without a kill; return its seconds and how often it changes files.

    What was imported on the way is imported here as well, so that no victim needs to: it is done
    once to learn that, and once more to be timed.
    """
    found = {}
    for name, kind in KINDS.items():
        for out in (folder / f"first-{name}", folder / name):
            answer = folder / f"{name}.json"
            pid = os.fork()
            if pid == 0:
                known, changes, started = set(sys.modules), Changes(), time.monotonic()
                kind.go_on(data, out)
                told = [time.monotonic() - started, changes.count, sorted(set(sys.modules) - known)]
                answer.write_text(json.dumps(told), encoding="utf-8")
                os._exit(0)
            os.waitpid(pid, 0)
            seconds, count, modules = json.loads(answer.read_text(encoding="utf-8"))
            for module in modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
        found[name] = (float(seconds), int(count))
    require_no_threads()
    return found


def killed(
    case: Case, scratch: Path, data: Path, whole: Path, usual: dict[str, tuple[float, int]]
) -> list[object]:
    """Kill, go on, and so on until it ends; return the kills, their kinds and the differences."""
    rng = random.Random(f"{case.work}/{case.seed}")
    out, kills = scratch / "out", list[str]()
    seconds, changes = usual[case.work]
    for _ in range(rng.choice((1, 1, 2, 3))):
        by_time = rng.random() < 0.5
        moment, at = rng.uniform(0, 1.1 * seconds), rng.randint(1, changes)
        pid = victim(case.work, data, out, None if by_time else at)
        if by_time:
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            kills.append(f"{moment:.2f} s" if by_time else f"change {at}")
        elif os.WEXITSTATUS(status):
            return [kills, ["going on fails"]]
        else:
            break  # it was done before
    pid = victim(case.work, data, out, None)
    _, status = os.waitpid(pid, 0)
    if status:
        return [kills, ["going on fails"]]
    return [kills, KINDS[case.work].compare(out, whole / case.work)]


def killed_often(
    work: str, wanted: int, given: argparse.Namespace, job: Callable[[Case, Path], object]
) -> list[tuple[Case, str, object]]:
    """Go through cases until so many processes have been killed."""
    kills, outcomes = 0, list[tuple[Case, str, object]]()

    def cases() -> Iterator[Case]:
        number = 0
        while kills < wanted:
            yield Case(work, given.seed * 1_000_000 + number)
            number += 1

    for outcome in forked(cases(), job, given.workers, LIMIT):
        outcomes.append((outcome.task, outcome.status, outcome.value))
        own, differences = answer(outcome.status, outcome.value)
        kills += len(own)
        if differences or len(outcomes) % 20 == 0:
            print(f"{work}: {kills}/{wanted} kills {outcome.task.seed} {differences}", flush=True)
    return outcomes


def answer(status: str, value: object) -> tuple[list[str], Differences]:
    """Return the kills of a case and what differs."""
    if status != "done":
        return [], [f"{status} {value or ''}".strip()]
    kills, differences = cast(tuple[list[str], Differences], value)
    return kills, differences


def figures(
    found: dict[str, list[tuple[Case, str, object]]], seconds: dict[str, float], seed: int
) -> dict[str, object]:
    """Kills and diverging cases of each kind of work."""
    rows, diverging = {}, []
    for work, outcomes in found.items():
        kills = 0
        for case, status, value in outcomes:
            own, differences = answer(status, value)
            kills += len(own)
            if differences:
                diverging.append(
                    {"work": work, "seed": case.seed, "kills": own, "what": differences}
                )
        rows[work] = {"cases": len(outcomes), "kills": kills, "seconds": round(seconds[work])}
    total = sum(row["kills"] for row in rows.values())
    return {
        "seed": seed, "kills": total, "diverging": len(diverging), "work": rows,
        "differences": diverging,
    }  # fmt: skip


def main() -> None:
    """Kill, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--out", type=Path, default=HERE / "kill.json")
    given = parser.parse_args()
    require_no_threads()
    found, seconds = {}, {}
    with tempfile.TemporaryDirectory(prefix="graphrec-kill-", dir=MEMORY_FOLDER) as folder:
        data, whole = Path(folder) / "data", Path(folder) / "whole"
        data.mkdir()
        whole.mkdir()
        os.chdir(folder)
        write_data(data)
        usual = measured(data, whole)
        print({name: (round(each[0], 2), each[1]) for name, each in usual.items()}, flush=True)
        share = sum(SHARES[name] for name in given.only)
        for work in given.only:
            started = time.monotonic()
            wanted = math.ceil(given.kills * SHARES[work] / share)
            job = functools.partial(killed, data=data, whole=whole, usual=usual)
            found[work] = killed_often(work, wanted, given, job)
            seconds[work] = time.monotonic() - started
    result = figures(found, seconds, given.seed)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1)[:4000])


if __name__ == "__main__":
    main()
