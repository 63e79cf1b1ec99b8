"""Damaged inputs by the hundred thousand: every one must be read, or refused with a typed error.

    python benchmarks/reliability/fuzz.py [--inputs 1000000] [--workers 2] [--only readers]
    python benchmarks/reliability/fuzz.py --replay readers 4711

Input n of a target follows from the seed, the target and n alone. Workers are forked from a
process that has everything loaded; memory is limited, and an input that takes more than
``SECONDS`` counts as a fault, as does every error that is not one of graphrec/core/errors.py.
"""

import argparse
import base64
import json
import logging
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from places import HERE  # isort: skip
import torch
from cases import Case, chosen_file
from damage import damaged, restructured
from targets import SHARES, TARGETS

from graphrec.core.config import Json
from graphrec.core.errors import GraphRecError
from graphrec.features.content.networks import UnreadableError

SECONDS = 10
"""An input may take so long."""

STUCK = 30
"""A worker that stands still for so long, in code that no signal reaches, is ended."""

MEMORY = 3 * 2**30
"""Bytes that a worker may take beyond what it has at its start."""

TRIES = 250
"""Attempts to make a failing input smaller."""

BLOCK = 4000
"""Inputs of a worker before another one takes over."""


class Slow(BaseException):
    """An input took too long."""


class Fault(NamedTuple):
    """What was found: where, what kind, and the input."""

    target: str
    number: int
    error: str
    place: str
    message: str
    trace: str
    files: dict[str, str]
    settings: Json


def make(target: str, number: int, seed: int, cases: list[Case]) -> Case:
    """Return input ``number`` of a target."""
    rng = random.Random(f"{seed}/{target}/{number}")
    case = rng.choice(cases)
    share = TARGETS[target].settings
    if not case.files or (case.settings and rng.random() < share):
        settings = restructured(case.settings, rng)
        return case._replace(settings=settings if isinstance(settings, dict) else {})
    name = chosen_file(case, rng)
    others = [other.files[name] for other in cases if name in other.files]
    content = damaged(case.files[name], name, rng, others)
    return case._replace(files={**case.files, name: content})


def attempt(target: str, case: Case, folder: Path) -> tuple[str, str, str, str] | None:
    """Read a case; return error, place, message and traceback if it is a fault."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for name, content in case.files.items():
            (folder / name).write_bytes(content)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            TARGETS[target].read(folder, case.settings)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (GraphRecError, UnreadableError):
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if type(error).__name__ == "ValidationError" and "pydantic" in type(error).__module__:
            return None if _outermost(error) else _described(error)
        return _described(error)
    return None


def _outermost(error: BaseException) -> bool:
    """Whether a target itself validated settings, as a configuration does with its own errors."""
    frames = traceback.extract_tb(error.__traceback__)
    return not any("/graphrec/" in frame.filename for frame in frames)


def _described(error: BaseException) -> tuple[str, str, str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/graphrec/" in frame.filename]
    place = f"{own[-1].filename.rpartition('/graphrec/')[2]}:{own[-1].name}" if own else "?"
    tail = "".join(traceback.format_tb(error.__traceback__)[-3:])
    return type(error).__name__, place, str(error)[:300], tail[-1500:]


def smaller(target: str, case: Case, folder: Path, same: Callable[[Case], bool]) -> Case:
    """Remove what a fault does not need: settings, then pieces of the files."""
    left = TRIES
    for key in list(case.settings):
        fewer = {name: value for name, value in case.settings.items() if name != key}
        candidate = case._replace(settings=fewer)
        left -= 1
        if same(candidate):
            case = candidate
    for name in case.files:
        size = max(1, len(case.files[name]) // 2)
        while left > 0:
            position = 0
            while position < len(case.files[name]) and left > 0:
                content = case.files[name]
                shorter = content[:position] + content[position + size :]
                candidate = case._replace(files={**case.files, name: shorter})
                left -= 1
                if same(candidate):
                    case = candidate
                else:
                    position += size
            if size == 1:
                break
            size //= 2
    return case


def work(target: str, numbers: range, seed: int, done: mmap.mmap, found: Path) -> None:
    """Try some inputs in this process, noting each number before it is tried."""
    grown = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (grown + MEMORY, grown + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # panics of polars and libraries' warnings
    logging.disable()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _late)
    folder = Path(tempfile.mkdtemp(prefix="graphrec-fuzz-", dir=_memory_folder()))
    os.chdir(folder)
    known: set[tuple[str, str]] = set()
    try:
        cases = TARGETS[target].seeds()
        with found.open("a", encoding="utf-8") as file:
            for number in numbers:
                done[:8] = struct.pack("<q", number)
                case = make(target, number, seed, cases)
                answer = attempt(target, case, folder / "case")
                if answer is None:
                    continue
                if answer[:2] not in known:
                    known.add(answer[:2])
                    case = smaller(target, case, folder, _same(target, folder, answer))
                fault = Fault(target, number, *answer, _encoded(case), case.settings)
                file.write(json.dumps(fault._asdict()) + "\n")
                file.flush()
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


def _same(target: str, folder: Path, answer: tuple[str, str, str, str]) -> Callable[[Case], bool]:
    def same(candidate: Case) -> bool:
        again = attempt(target, candidate, folder / "case")
        return again is not None and again[:2] == answer[:2]

    return same


def _late(_: int, __: FrameType | None) -> None:
    raise Slow(f"more than {SECONDS} s")


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _encoded(case: Case) -> dict[str, str]:
    return {name: base64.b64encode(content[:4000]).decode() for name, content in case.files.items()}


class Worker:
    """A forked process at work on a block of inputs."""

    def __init__(self, target: str, numbers: range, seed: int, found: Path) -> None:
        self.target, self.numbers, self.seed, self.found = target, numbers, seed, found
        self.done = mmap.mmap(-1, 8)
        self.done[:8] = struct.pack("<q", numbers.start)
        self.moved, self.last = time.monotonic(), numbers.start
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                work(target, numbers, seed, self.done, found)
                code = 0
            except BaseException:
                with found.with_suffix(".broken").open("a") as file:
                    file.write(f"{target} {numbers}\n{traceback.format_exc()}\n")
            finally:
                os._exit(code)

    @property
    def at(self) -> int:
        """The number of the input that is tried."""
        return int(struct.unpack("<q", self.done[:8])[0])

    def ended(self) -> range | None:
        """Return what is left to do once the process is over, None before that."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            if self.at != self.last:
                self.last, self.moved = self.at, time.monotonic()
            if time.monotonic() - self.moved > STUCK + 2 * SECONDS:
                os.kill(self.pid, signal.SIGKILL)
            return None
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return range(0)
        if os.WIFEXITED(status):
            raise SystemExit(f"the fuzzer itself failed: see {self.found.with_suffix('.broken')}")
        name = signal.Signals(os.WTERMSIG(status)).name
        how = "stands still" if name == "SIGKILL" else f"the process died of {name}"
        with self.found.open("a", encoding="utf-8") as file:
            fault = Fault(self.target, self.at, name, "?", how, "", {}, None)
            file.write(json.dumps(fault._asdict()) + "\n")
        return range(self.at + 1, self.numbers.stop)


def blocks(inputs: int, only: list[str]) -> list[tuple[str, range]]:
    """Cut the inputs of each target into blocks."""
    shares = {name: share for name, share in SHARES.items() if not only or name in only}
    whole, plan = sum(shares.values()), []
    for name, share in shares.items():
        count = round(inputs * share / whole)
        plan += [(name, range(at, min(at + BLOCK, count))) for at in range(0, count, BLOCK)]
    return plan


def run(plan: list[tuple[str, range]], workers: int, seed: int, found: Path) -> dict[str, float]:
    """Work through the plan; return the seconds of each target."""
    seconds: dict[str, float] = dict.fromkeys((name for name, _ in plan), 0.0)
    waiting, at_work = list(reversed(plan)), list[tuple[Worker, float]]()
    total = len(plan)
    while waiting or at_work:
        while waiting and len(at_work) < workers:
            target, numbers = waiting.pop()
            at_work.append((Worker(target, numbers, seed, found), time.monotonic()))
        time.sleep(0.02)
        for worker, started in list(at_work):
            left = worker.ended()
            if left is None:
                continue
            at_work.remove((worker, started))
            seconds[worker.target] += time.monotonic() - started
            if left:
                waiting.append((worker.target, left))
            else:
                print(f"{total - len(waiting) - len(at_work)}/{total} {worker.target}", flush=True)
    return seconds


def kinds(faults: list[Fault]) -> dict[tuple[str, str, str], list[Fault]]:
    """Group faults by target, error and place; the smallest input of each comes first."""
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.target, fault.error, fault.place), []).append(fault)
    for group in groups.values():
        group.sort(key=lambda fault: len(json.dumps([fault.files, fault.settings])))
    return groups


def report(
    plan: list[tuple[str, range]], seconds: dict[str, float], faults: list[Fault], seed: int
) -> dict[str, Json]:
    """Return the figures: inputs, rate and faults of each target, and one input of each kind."""
    rows: dict[str, Json] = {}
    for name in seconds:
        inputs = sum(len(numbers) for target, numbers in plan if target == name)
        rows[name] = {
            "inputs": inputs,
            "per_second": round(inputs / max(seconds[name], 1e-9)),
            "untyped": sum(fault.target == name for fault in faults),
        }
    found: list[Json] = [
        {**group[0]._asdict(), "times": len(group)} for group in kinds(faults).values()
    ]
    whole = sum(len(numbers) for _, numbers in plan)
    return {"seed": seed, "inputs": whole, "untyped": len(faults), "targets": rows, "kinds": found}


def replay(target: str, number: int, seed: int) -> None:
    """Read one input again, and show its traceback."""
    folder = Path(tempfile.mkdtemp(prefix="graphrec-fuzz-", dir=_memory_folder()))
    case = make(target, number, seed, TARGETS[target].seeds())
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    print(f"{folder}\n{json.dumps(case.settings)[:2000]}")
    print(TARGETS[target].read(folder, case.settings))


def main() -> None:
    """Fuzz, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], choices=list(TARGETS))
    parser.add_argument("--out", type=Path, default=HERE / "fuzz.json")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "NUMBER"))
    given = parser.parse_args()
    if given.replay:
        replay(given.replay[0], int(given.replay[1]), given.seed)
        return
    plan = blocks(given.inputs, given.only)
    with tempfile.TemporaryDirectory(prefix="graphrec-fuzz-") as folder:
        found = Path(folder) / "found.jsonl"
        found.touch()
        try:
            seconds = run(plan, given.workers, given.seed, found)
        except SystemExit:
            print(found.with_suffix(".broken").read_text(), file=sys.stderr)
            raise
        lines = found.read_text(encoding="utf-8").splitlines()
    figures = report(plan, seconds, [Fault(**json.loads(line)) for line in lines], given.seed)
    given.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, row in figures["targets"].items():
        print(name, row)
    for kind in figures["kinds"]:
        print(kind["times"], kind["target"], kind["error"], kind["place"], kind["message"][:90])


if __name__ == "__main__":
    main()
