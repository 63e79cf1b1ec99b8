"""Small faults planted in graphrec, one at a time: which of them does no test notice?

    python benchmarks/reliability/mutate.py [--count 330] [--workers 2] [--seconds 60]

First every test is run once, to learn which lines it runs; that map is kept for as long as no
source and no test changes. Then each fault is planted in a forked process, in memory only, and the
tests that run its line are run until one fails. Faults follow from the seed alone.
"""

from places import HERE, ROOT  # isort: skip
import argparse
import contextlib
import difflib
import importlib
import json
import os
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import planting
from forks import forked, require_no_threads
from judging import HANG_SECONDS, Functions, judge
from lines import Bits, lines_of_tests, plan
from mutations import Mutant, mutants, named, sample
from named_faults import NAMED

LIBRARIES = (
    *("torch", "polars", "sklearn", "pydantic", "hypothesis", "optuna", "matplotlib.pyplot"),
    *(
        "transformers",
        "PIL.Image",
        "soundfile",
        "librosa",
        "av",
        "gensim.models",
        "torch_geometric",
    ),
    *("dgl", "sqlalchemy", "safetensors.torch"),
)
"""Loaded once, as far as they are installed."""


class Verdict(NamedTuple):
    """What became of a fault."""

    mutant: Mutant
    status: str
    by: str
    ran: int
    left: int
    seconds: float


def preload() -> tuple[Bits, "Functions"]:
    """Load graphrec and what it and its tests use; return what importing runs.

    The tests themselves are loaded by each process: some read tables already then, which starts
    threads that a fork would lose.
    """
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    lines = planting.Lines()
    lines.start()
    package = importlib.import_module("graphrec")
    for module in pkgutil.walk_packages(package.__path__, "graphrec."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    lines.stop()
    importlib.import_module("graphrec.features.image.torchvision_shim").import_torchvision()
    at_import = {name: int(bits, 16) for name, bits in lines.taken().items()}
    require_no_threads()
    return at_import, Functions(at_import)


def chosen_faults(count: int, seed: int, within: str) -> tuple[list[Mutant], list[str]]:
    """Return the named faults and a sample of all, and the names of those that fit no more."""
    paths = sorted((ROOT / "graphrec").rglob("*.py"))
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    texts = {file: text for file, text in texts.items() if file.startswith(f"graphrec/{within}")}
    found, stale = [], []
    for fault in NAMED:
        text = texts.get(fault.file)
        if text is None and within:
            continue
        mutant = named(fault.name, fault.file, text or "", fault.old, fault.new)
        if mutant is None:
            stale.append(fault.name)
        else:
            found.append(mutant)
    drawn = sample({file: mutants(file, text) for file, text in texts.items()}, texts, count, seed)
    return found + drawn, stale


def status_of(outcome: str, value: object, planned: int) -> tuple[str, str, int]:
    """Return killed, survived, unfinished or untested, by which test, and how many were run."""
    if outcome == "limit":
        return "killed", "the process hangs", 0
    if outcome != "done":
        return "killed", f"the process ends: {outcome}", 0
    code, failed, ran = cast(tuple[int, str, int], value)
    if failed:
        return "killed", failed, ran
    if code in (1, 3, 4) or (code == 2 and not ran):
        return "killed", "the tests cannot be collected", ran
    return ("survived" if ran >= planned else "unfinished"), "", ran


def difference(mutant: Mutant) -> list[str]:
    """The changed lines of a fault, before and after."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    before, after = text.splitlines(), mutant.source(text).splitlines()
    lines = difflib.unified_diff(before, after, n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def figures(verdicts: Sequence[Verdict], stale: Sequence[str], seed: int) -> dict[str, object]:
    """Counts, and every fault that lives."""
    counts: dict[str, int] = {}
    for each in verdicts:
        counts[each.status] = counts.get(each.status, 0) + 1
    alive = sorted((each for each in verdicts if each.status != "killed"), key=lambda v: v.mutant)
    return {
        "seed": seed,
        "faults": len(verdicts),
        **dict(sorted(counts.items())),
        "seconds": round(sum(each.seconds for each in verdicts)),
        "named": {v.mutant.name: v.by or v.status for v in verdicts if v.mutant.name},
        "named_without_a_place": list(stale),
        "alive": [
            {
                "place": f"{each.mutant.file}:{each.mutant.line}",
                "kind": each.mutant.name or each.mutant.kind,
                "status": each.status,
                "tests": each.ran,
                "left": each.left,
                "difference": difference(each.mutant),
            }
            for each in alive
        ],
    }


def main() -> None:
    """Plant the faults and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=330)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for each fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", default="", help="only modules whose path starts so")
    parser.add_argument("--tests", nargs="*", default=[], help="only files that start so")
    parser.add_argument("--named", action="store_true", help="only the faults chosen by hand")
    parser.add_argument("--out", type=Path, default=HERE / "mutate.json")
    given = parser.parse_args()
    os.chdir(ROOT)
    at_import, functions = preload()
    faults, stale = chosen_faults(given.count, given.seed, given.within)
    if given.named:
        faults = [fault for fault in faults if fault.name]
    tests = lines_of_tests(given.workers, given.tests)
    plans = {fault: plan(fault, tests, at_import) for fault in faults}
    verdicts = [Verdict(fault, "untested", "", 0, 0, 0.0) for fault in faults if not plans[fault]]

    def work(mutant: Mutant, scratch: Path) -> object:
        return judge(mutant, scratch, plans[mutant], functions, given.seconds)

    tried = [fault for fault in faults if plans[fault]]
    limit = given.seconds + 4 * HANG_SECONDS + 60
    for outcome in forked(tried, work, given.workers, limit):
        mutant, planned = outcome.task, len(plans[outcome.task])
        status, by, ran = status_of(outcome.status, outcome.value, planned)
        verdicts.append(Verdict(mutant, status, by, ran, planned - ran, outcome.seconds))
        place = f"{mutant.file}:{mutant.line}"
        print(
            f"{len(verdicts)}/{len(faults)} {status} {place} {mutant.name or mutant.kind} "
            f"{outcome.seconds:.1f} s {by}",
            flush=True,
        )
    result = figures(verdicts, stale, given.seed)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print({key: value for key, value in result.items() if not isinstance(value, list)})
    if stale:
        print("faults chosen by hand that fit no more:", ", ".join(stale))


if __name__ == "__main__":
    main()
