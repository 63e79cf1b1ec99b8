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
from pathlib import Path

from graphrec import load_config
from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.experiment.fit import build, fit_model
from graphrec.experiment.log import RunLog
from graphrec.experiment.measure import measure_valid
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.models import model_of
from graphrec.models.config import ModelConfig
from graphrec.report.tables import FINGERPRINTS, identity_columns

HERE = Path(__file__).resolve().parent
SUITE = HERE.parent / "suites" / "defaults"
RESULTS = HERE / "valid.csv"
METRICS = ("recall@20", "ndcg@20")
MODEL = "model.name"
HEADER = (
    *("candidate", "data", "seed", *METRICS, "best_epoch", "epochs", "seconds", "settings"),
    *("config_hash", *(f"{name}_fingerprint" for name in FINGERPRINTS)),
)
Settings = dict[str, Json]


def prepared_for(
    name: str, settings: Settings, seed: int, known: dict[str, Prepared]
) -> tuple[Prepared, ModelConfig]:
    """Load a data set once; return it under the settings, and the settings of the model."""
    changes = [f"{key}={json.dumps(value)}" for key, value in settings.items() if key != MODEL]
    config = load_config(SUITE / f"{name}.toml", [*changes, f"run.seed={seed}"])
    log = RunLog()
    before = known.get(name)
    known[name] = prepare(config, log) if before is None else with_settings(before, config, log)
    model = settings.get(MODEL)
    if model is None:
        return known[name], config.model
    assert isinstance(model, str)
    return known[name], model_of(model).Config(name=model)  # a baseline, at its defaults


def identity_of(prepared: Prepared, model: ModelConfig) -> list[str]:
    """Hash of the settings, and fingerprints of data, split, features and protocol."""
    experiment = experiment_identity(prepared.config.model_copy(update={"model": model}))
    return list(identity_columns(experiment, [prepared.fingerprints]).values())


def measure(name: str, settings: Settings, seed: int, known: dict[str, Prepared]) -> list[str]:
    """Train one candidate on one data set; the columns of HEADER from the metrics on."""
    prepared, config = prepared_for(name, settings, seed, known)
    started = time.perf_counter()
    model = build(config, prepared)
    fitted = fit_model(model, prepared, RunLog())
    valid = measure_valid(model, prepared, METRICS)
    assert valid is not None, f"{name} has no validation part"
    figures = [f"{valid.metrics[metric]:.4f}" for metric in METRICS]
    figures += [str(fitted.best_epoch), str(len(fitted.history))]
    figures += [f"{time.perf_counter() - started:.0f}", json.dumps(settings)]
    return [*figures, *identity_of(prepared, config)]


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
