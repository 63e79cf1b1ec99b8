"""Trials per minute of two workers against one: python benchmarks/speed/tune_workers.py CONFIG.

Both take the same trials (random proposals, no pruning, a fixed number of epochs) on an otherwise
quiet machine; each worker gets its share of the cores. Counted from the start of the first trial to
the end of the last, so that loading the data, once per worker, does not count.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

from graphrec import RunConfig, load_config, tune

SETTINGS = (
    "tune.sampler=random",
    "tune.pruner=none",
    "tune.final_seeds=0",
)


def minutes(config: RunConfig, workers: int) -> float:
    """Minutes from the start of the first trial to the end of the last."""
    with tempfile.TemporaryDirectory() as folder:
        tune(config, folder, workers=workers)
        trials = pl.read_parquet(Path(folder) / "trials.parquet")
    start = trials["started"].dt.timestamp("ms") / 1000
    return float((start + trials["trial_seconds"]).max() - start.min()) / 60


def main() -> None:
    """Measure one, two, one, two workers, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    budget = (f"tune.trials={given.trials}", f"training.max_epochs={given.epochs}")
    config = load_config(given.config, [*SETTINGS, *budget])
    for index in range(given.rounds):
        rates = [given.trials / minutes(config, workers) for workers in (1, 2)]
        ratio = rates[1] / rates[0]
        print(f"round {index + 1}: {rates[0]:.2f} and {rates[1]:.2f} trials/min, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
