"""Time RecBole's own LightGCN training step on Gowalla; prints one JSON line.

Runs in RecBole's environment, not in graphrec's: see README.md beside this file. Dataset, data
loader, model, optimizer and training loop are RecBole's; only the clock around them is ours.
"""

import argparse
import contextlib
import gzip
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

TRAIN_PAIRS = 810_128
BATCH_SIZE = 2048
FULL_BATCHES = TRAIN_PAIRS // BATCH_SIZE  # in one epoch; the short last one is not timed
PARTS = ("train", "test")
PACKAGES = ("recbole", "torch", "numpy", "scipy", "pandas", "ray")
SETTINGS = {
    "load_col": {"inter": ["user_id", "item_id"]},
    # Fixed parts instead of RecBole's random split. The published split has no validation part
    # and RecBole wants three, so it gets the test part twice; training never reads either.
    "benchmark_filename": ["train", "test", "test"],
    "train_batch_size": BATCH_SIZE,
    "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1},
    "embedding_size": 64,
    "n_layers": 3,
    "learner": "adam",
    "use_gpu": False,
    "show_progress": False,
}


class Clock:
    """Hands a loader's first batches on and notes when each was asked for, ready and used up."""

    def __init__(self, loader: Iterable[Interaction], num_batches: int) -> None:
        self.loader = loader
        self.num_batches = num_batches
        self.sampling: list[float] = []
        self.model: list[float] = []

    def __iter__(self) -> Iterator[Interaction]:
        batches = iter(self.loader)
        for _ in range(self.num_batches):
            asked = time.perf_counter()
            batch = next(batches)
            ready = time.perf_counter()
            yield batch  # the trainer works here, until it asks for the next batch
            self.sampling.append(ready - asked)
            self.model.append(time.perf_counter() - ready)


def write_atomic_file(source: Path, target: Path) -> int:
    """Turn adjacency lists ``user item item ...`` into RecBole's table; return its rows."""
    if not source.is_file():
        sys.exit(f"{source} does not exist: point GRAPHREC_DATA at the folder that holds gowalla/.")
    rows = ["user_id:token\titem_id:token"]
    with gzip.open(source, "rt", encoding="ascii") as lines:
        for line in lines:
            user, *items = line.split()
            rows.extend(f"{user}\t{item}" for item in items)
    target.write_text("\n".join(rows) + "\n", encoding="ascii")
    return len(rows) - 1


def summary(seconds: list[float]) -> dict[str, float]:
    """Return median, mean, min and max, in seconds."""
    values = np.asarray(seconds)
    found = (np.median(values), values.mean(), values.min(), values.max())
    rounded = (round(float(value), 5) for value in found)
    return dict(zip(("median", "mean", "min", "max"), rounded, strict=True))


def measure(data: Path, warmup: int, steps: int) -> dict[str, object]:
    """Prepare and train in the current (temporary) folder; return what was measured."""
    load_average = os.getloadavg()[0]  # before our own work raises it
    folder = Path("gowalla")
    folder.mkdir()
    rows = {
        part: write_atomic_file(data / f"{part}.txt.gz", folder / f"gowalla.{part}.inter")
        for part in PARTS
    }
    if rows["train"] != TRAIN_PAIRS:
        sys.exit(
            f"{data / 'train.txt.gz'} holds {rows['train']} pairs, expected {TRAIN_PAIRS}: "
            "take Gowalla in the split that NGCF and LightGCN published."
        )

    # The order of RecBole's own run_recbole.
    config = Config("LightGCN", "gowalla", config_dict={**SETTINGS, "data_path": "."})
    init_seed(config["seed"], config["reproducibility"])
    marks = [time.perf_counter()]
    dataset = create_dataset(config)
    marks.append(time.perf_counter())
    loader, _, _ = data_preparation(config, dataset)
    marks.append(time.perf_counter())
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, loader.dataset).to(config["device"])
    marks.append(time.perf_counter())
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    clock = Clock(loader, warmup + steps)
    # Its inner loop only iterates over what it is given, so a clock can stand in for the loader.
    loss = trainer._train_epoch(clock, epoch_idx=0)

    sampling, training = clock.sampling[warmup:], clock.model[warmup:]
    stages = ("load_dataset", "split_and_sampler", "build_model")
    return {
        "what": "RecBole LightGCN training step, Gowalla (LightGCN split), CPU",
        "train_pairs": rows["train"],
        "users": dataset.user_num - 1,  # RecBole counts a padding id
        "items": dataset.item_num - 1,
        "batch_size": BATCH_SIZE,
        "embedding_size": SETTINGS["embedding_size"],
        "n_layers": SETTINGS["n_layers"],
        "steps_per_epoch": len(loader),
        "warmup_steps": warmup,
        "timed_steps": steps,
        "step_seconds": summary([s + m for s, m in zip(sampling, training, strict=True)]),
        "sampling_seconds": summary(sampling),
        "model_seconds": summary(training),
        "first_sampling_seconds": round(clock.sampling[0], 5),
        "prepare_seconds": dict(zip(stages, np.diff(marks).round(3).tolist(), strict=True)),
        "mean_loss": round(loss / (warmup + steps), 5),
        "threads": torch.get_num_threads(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "load_average_before": round(load_average, 2),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }


def main() -> None:
    """Read the options, measure in a temporary folder and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    if options.threads < 1 or options.warmup < 1 or options.steps < 1:
        parser.error("--threads, --warmup and --steps are at least 1.")
    if options.warmup + options.steps > FULL_BATCHES:
        parser.error(f"--warmup plus --steps is at most {FULL_BATCHES}, one epoch's full batches.")
    if "GRAPHREC_DATA" not in os.environ:
        parser.error("set GRAPHREC_DATA to the folder that holds gowalla/train.txt.gz.")
    data = (Path(os.environ["GRAPHREC_DATA"]) / "gowalla").resolve()
    sys.argv = sys.argv[:1]  # RecBole reads the command line too
    torch.set_num_threads(options.threads)
    # RecBole writes saved/ and log_tensorboard/ into the current folder.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        print(json.dumps(measure(data, options.warmup, options.steps)))


if __name__ == "__main__":
    main()
