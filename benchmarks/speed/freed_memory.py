"""Training steps of LightGCN on a large graph, with and without ``keep_freed_memory``, in turn.

    python benchmarks/speed/freed_memory.py [--rounds 3] [--steps 10]

The pairs are drawn, with as many users, items and pairs as Amazon Electronics has. Every run is
a process of its own, since the setting is for the rest of a process.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from drawn import drawn

from graphrec.models import MODELS, Batch, Inputs
from graphrec.training.memory import keep_freed_memory
from graphrec.training.sampling import NegativeSampler

USERS, ITEMS, PAIRS = 192_403, 63_001, 1_254_441


def steps(count: int) -> dict[str, float]:
    """Median seconds and page faults of a step, and the peak memory of the process in MB."""
    train = drawn(np.random.default_rng(0), USERS, ITEMS, PAIRS)
    rng = torch.Generator().manual_seed(0)
    model_class = MODELS["lightgcn"]
    model = model_class(model_class.Config(name="lightgcn"), Inputs(train, rng)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    sampler = NegativeSampler(train, "uniform", torch.device("cpu"))
    seconds, faults = [], []
    for _ in range(count + 2):
        chosen = torch.randint(PAIRS, (2048,), generator=rng).numpy()
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        users = torch.from_numpy(train.users[chosen]).long()
        pos = torch.from_numpy(train.items[chosen]).long()
        batch = Batch(users, pos, sampler.sample(users, 1, rng))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(model.loss(batch).values())).sum().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before.ru_minflt)
    return {
        "seconds": statistics.median(seconds[2:]),  # the first ones allocate
        "faults": statistics.median(faults[2:]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Time both in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", choices=["default", "kept"], help="one run, as JSON")
    given = parser.parse_args()
    if given.only:
        if given.only == "kept" and not keep_freed_memory():
            raise SystemExit("freed memory cannot be kept here: no glibc, or MALLOC_... is set")
        print(json.dumps(steps(given.steps)))
        return
    print("| round | time, default / kept | faults of a step | peak memory, kept / default |")
    print("| --- | ---: | ---: | ---: |")
    for number in range(1, given.rounds + 1):
        default, kept = (
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--only", each, "--steps", str(given.steps)],
                    check=True,
                    capture_output=True,
                ).stdout
            )
            for each in ("default", "kept")
        )
        print(
            f"| {number} | {default['seconds'] / kept['seconds']:.2f} "
            f"| {default['faults']:,.0f}, {kept['faults']:,.0f} "
            f"| {kept['peak_mb'] / default['peak_mb']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
