"""No training, early stopping or model is ever handed the test part."""

import inspect
import json
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest
import safetensors.torch
import torch

from graphrec import Inputs, Interactions, Model, Result, build_config, fit, run, tune
from graphrec.data import SealedTest
from graphrec.evaluation import PRESETS
from graphrec.experiment import fit as fit_module
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.features.tabular.statistics import interaction_statistics
from graphrec.models import MODELS
from graphrec.tuning import search
from tests import flow


def train_on(folder: Path, model: str, test_seed: int, overrides: list[str]) -> Result:
    """A run over one fixed train and valid part, and a test part drawn by ``test_seed``."""
    table = flow.given_table(folder, model, test_seed)
    return run(build_config(table, overrides), folder / "run")


@pytest.mark.parametrize("model", MODELS)
def test_another_test_part_changes_nothing_but_the_test_metrics(model: str, tmp_path: Path) -> None:
    clean = train_on(tmp_path / "clean", model, 0, ["training.patience=2"])
    poisoned = train_on(tmp_path / "poisoned", model, 1, ["training.patience=2"])

    assert poisoned.fingerprints["split"] != clean.fingerprints["split"]
    assert poisoned.metrics["test"] != clean.metrics["test"]
    assert poisoned.metrics["valid"] == clean.metrics["valid"]
    assert poisoned.best_epoch == clean.best_epoch
    assert poisoned.stopped == clean.stopped
    assert flow.untimed(poisoned) == flow.untimed(clean)
    lists = [pl.read_parquet(tmp_path / name / "run/recommendations.parquet") for name in NAMES]
    assert lists[0].equals(lists[1])
    if not MODELS[model].closed_form:
        weights = [
            safetensors.torch.load_file(tmp_path / name / "run/checkpoint.safetensors")
            for name in NAMES
        ]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


NAMES = ("clean", "poisoned")


def test_statistics_of_interactions_do_not_see_another_test_part(tmp_path: Path) -> None:
    overrides = [f"{table}.stats.encoder=interactions" for table in ("features", "user_features")]
    model = "modality_attention_gcn"
    clean, poisoned = (
        train_on(tmp_path / name, model, seed, overrides) for seed, name in enumerate(NAMES)
    )
    assert poisoned.fingerprints["split"] != clean.fingerprints["split"]
    for kind in ("features", "user_features"):
        assert poisoned.fingerprints[kind] == clean.fingerprints[kind]
    assert flow.untimed(poisoned) == flow.untimed(clean)
    prepared = prepare(flow.config_of(flow.data(), model, overrides), RunLog())
    train = prepared.split.train
    assert len(train) < len(prepared.dataset.interactions)
    for side, found in (("items", prepared.features), ("users", prepared.user_features)):
        assert found["stats"].fingerprint == interaction_statistics(train, side).fingerprint


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].selection == "valid"])
def test_no_preset_that_selects_on_valid_looks_at_the_test_part(name: str, tmp_path: Path) -> None:
    overrides = [f"evaluation.protocol={name}"]
    clean = train_on(tmp_path / "clean", "mf", 0, overrides)
    poisoned = train_on(tmp_path / "poisoned", "mf", 1, overrides)
    assert flow.untimed(poisoned) == flow.untimed(clean)
    assert poisoned.metrics["valid"] == clean.metrics["valid"]


def test_choosing_the_epoch_on_test_does_look_at_it(tmp_path: Path) -> None:
    """The control: the poison is strong enough to be noticed."""
    overrides = ["evaluation.selection=best_test_epoch"]
    clean = train_on(tmp_path / "clean", "mf", 0, overrides)
    poisoned = train_on(tmp_path / "poisoned", "mf", 1, overrides)
    assert flow.untimed(poisoned) != flow.untimed(clean)


def test_models_are_given_the_training_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Inputs] = []
    real = fit_module.Inputs

    def spy(**given: object) -> Inputs:
        seen.append(real(**given))
        return seen[-1]

    monkeypatch.setattr(fit_module, "Inputs", spy)
    train_on(tmp_path, "mf", 0, ['evaluation.baselines=["popular", "lightgcn"]'])
    assert len(seen) == 3
    trained = pl.read_csv(tmp_path / "train.csv")
    for inputs in seen:
        assert len(inputs.train) == len(trained)


def test_another_test_part_changes_nothing_in_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "write_report", lambda *_: None)
    settings: flow.Table = {"tune": {"trials": 6, "final_seeds": 1, "min_epochs": 1}}
    tables, results = [], []
    for seed, name in enumerate(NAMES):
        out = tmp_path / name / "study"
        table = flow.given_table(tmp_path / name, "mf", seed) | settings
        results.append(tune(build_config(table), out))
        tables.append(pl.read_parquet(out / "trials.parquet"))
    timeless = [table.drop("trial_seconds", "started", "worker") for table in tables]
    assert timeless[0].equals(timeless[1])
    clean, poisoned = results
    assert (clean.best, clean.best_trial) == (poisoned.best, poisoned.best_trial)
    assert clean.valid == poisoned.valid
    assert clean.fingerprints["split"] != poisoned.fingerprints["split"]
    assert clean.test != poisoned.test
    assert len(clean.test_openings) == len(poisoned.test_openings) == 1


def test_there_is_no_parameter_for_other_parts() -> None:
    # graphs is a folder: what lies there follows from the features alone.
    names = {"train", "rng", "features", "backend", "user_features", "graphs"}
    assert {field.name for field in fields(Inputs)} == names
    for model in (Model, *MODELS.values()):
        assert list(inspect.signature(model.__init__).parameters) == ["self", "config", "inputs"]
    typed = {
        name
        for name, parameter in inspect.signature(fit).parameters.items()
        if parameter.annotation is Interactions
    }
    assert typed == {"train"}
    assert set(inspect.signature(fit).parameters) == {
        "model", "train", "config", "seed", "device", "validate", "metric", "part",
        "checkpoint", "report",
    }  # fmt: skip


def test_the_test_part_is_opened_after_training_and_the_baselines(tmp_path: Path) -> None:
    result = train_on(tmp_path, "mf", 0, ['evaluation.baselines=["lightgcn", "popular"]'])
    assert result.test_openings == ["final evaluation"]
    events = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    order = [event.get("stage", event["event"]) for event in events]
    assert order.count("test_opened") == 1
    assert order.index("baselines") < order.index("test_opened") < order.index("evaluate")


def test_a_sealed_part_records_every_opening(tmp_path: Path) -> None:
    train_on(tmp_path, "popular", 0, [])
    pairs = Interactions(*(torch.arange(3).int().numpy() for _ in range(2)), 3, 3)
    sealed, told = SealedTest(pairs), []
    assert (len(sealed), sealed.openings) == (3, [])
    assert sealed.open("first", told.append) is pairs
    assert sealed.open("second") is pairs
    assert (sealed.openings, told) == (["first", "second"], ["first"])


def test_a_run_cannot_train_while_the_part_is_sealed_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training ends without a single opening; only the final evaluation asks for one."""

    class Sealed(Exception):
        pass

    def refuse(*_: object) -> None:
        raise Sealed

    monkeypatch.setattr(SealedTest, "open", refuse)
    with pytest.raises(Sealed):
        train_on(tmp_path, "modality_attention_gcn", 0, ['evaluation.baselines=["mf"]'])
    with safetensors.safe_open(tmp_path / "run/checkpoint.safetensors", framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    assert state["result"]["stopped"] == "max_epochs"
