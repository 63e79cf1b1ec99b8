"""Seconds to compare two systems by the users of a large data set.

python benchmarks/speed/significance.py [--users 35000] [--draws 2000]
"""

import argparse
import time

import numpy as np

from graphrec.evaluation.significance import compare


def main() -> None:
    """Compare two systems of three seeds and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=35_000)
    parser.add_argument("--draws", type=int, default=2000)
    given = parser.parse_args()
    ours, theirs = np.random.default_rng(0).normal(size=(2, 3, given.users))
    started = time.perf_counter()
    compare(ours, theirs, draws=given.draws)
    print(f"{given.users:,} users, {given.draws:,} draws: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
