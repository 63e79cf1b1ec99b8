"""Measure candidates for the flagship's defaults on validation parts: the test part stays sealed.

    python benchmarks/defaults/study.py [CANDIDATE...]

Every candidate of ``candidates.toml`` (or those named) is trained on every data set of
``../suites/defaults/`` that it names, and one line is added to ``valid.csv``; what is there already
is skipped. Data are found by GRAPHREC_DATA; Last.fm 2K has no catalog entry and is
read from that folder.
"""

import csv
import json
import os
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

from graphrec import load_config
from graphrec.config import Json
from graphrec.run import Prepared, build, fit_model, measure_valid, prepare
from graphrec.run_log import RunLog

HERE = Path(__file__).resolve().parent
SUITE = HERE.parent / "suites" / "defaults"
RESULTS = HERE / "valid.csv"
METRICS = ("recall@20", "ndcg@20")
HEADER = ("candidate", "data", "seed", *METRICS, "best_epoch", "epochs", "seconds", "settings")


Settings = dict[str, Json]


def measure(name: str, settings: Settings, seed: int, known: dict[str, Prepared]) -> list[str]:
    """Train one candidate on one data set; the columns of HEADER from the metrics on."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    config = load_config(SUITE / f"{name}.toml", [*overrides, f"run.seed={seed}"])
    log, started = RunLog(), time.perf_counter()
    if name not in known:
        known[name] = prepare(config, log)
    prepared = replace(known[name], config=config)
    model = build(config.model, prepared)
    fitted = fit_model(model, prepared, log)
    valid = measure_valid(model, prepared, METRICS)
    assert valid is not None, f"{name} has no validation part"
    figures = [f"{valid.metrics[metric]:.4f}" for metric in METRICS]
    figures += [str(fitted.best_epoch), str(len(fitted.history))]
    return [*figures, f"{time.perf_counter() - started:.0f}", json.dumps(settings)]


def main(chosen: list[str]) -> None:
    """Measure what is not measured yet."""
    study = tomllib.loads((HERE / "candidates.toml").read_text(encoding="utf-8"))
    os.chdir(os.environ["GRAPHREC_DATA"])
    with RESULTS.open(encoding="utf-8", newline="") as file:
        done = {(row["candidate"], row["data"], row["seed"]) for row in csv.DictReader(file)}
    known: dict[str, Prepared] = {}
    for candidate in chosen or study:
        table = study[candidate]
        for name in table["data"]:
            for seed in table.get("seeds", [0]):
                if (candidate, name, str(seed)) in done:
                    continue
                row = measure(name, table["settings"], seed, known)
                with RESULTS.open("a", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerow([candidate, name, seed, *row])


if __name__ == "__main__":
    main(sys.argv[1:])
