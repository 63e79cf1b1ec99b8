"""Peak memory and time of EASE on drawn data as large as Amazon Clothing: one JSON line.

    python benchmarks/speed/ease_memory.py [--users 39387] [--items 23033] [--pairs 278677]

``peak_over_matrix`` is the largest memory that the process came to own (RssAnon) while EASE was
solved and all users were scored, less what it owned before, over the 4 I^2 bytes of its matrix.
"""

import argparse
import json
import threading
import time
from pathlib import Path

import numpy as np
import torch
from drawn import drawn

from graphrec.models import Inputs
from graphrec.models.ease import EASE, EASEConfig

USERS, ITEMS, PAIRS = 39_387, 23_033, 278_677
BATCH = 256


def owned() -> int:
    """Bytes of RssAnon."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    """Solve, score, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    given = parser.parse_args()
    train = drawn(np.random.default_rng(0), given.users, given.items, given.pairs)
    config, inputs = EASEConfig(name="ease"), Inputs(train, torch.Generator())
    model = EASE(config, inputs)
    before, peak, done = owned(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], owned())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    model.fit_exact()
    solved = time.perf_counter()
    for users in torch.arange(given.users).split(BATCH):
        model.score(users)
    scored = time.perf_counter()
    done.set()
    watcher.join()
    matrix = 4 * min(given.users, given.items) ** 2
    estimated = next(iter(EASE.needs(config, inputs))).num_bytes
    print(
        json.dumps(
            {
                "matrix_mb": round(matrix / 2**20),
                "peak_mb": round((peak[0] - before) / 2**20),
                "peak_over_matrix": round((peak[0] - before) / matrix, 3),
                "estimated_over_matrix": round(estimated / matrix, 3),
                "solve_seconds": round(solved - started, 1),
                "score_seconds": round(scored - solved, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
