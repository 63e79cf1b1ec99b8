"""Runs of a series: what they share, and how they go on after an interruption."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphrec import DataError, build_config, read_result
from graphrec.experiment import series
from graphrec.experiment import worker as fit
from graphrec.experiment.log import RunLog
from graphrec.experiment.series import seeded, train_replicates
from graphrec.studies import study_modalities
from tests.studies import worlds


def test_content_under_other_settings_is_that_of_a_run_of_its_own(tmp_path: Path) -> None:
    """A control and a removal in the middle of a series change nothing around them."""
    tables = {
        "plain": {},
        "control": {"controls": {"image": "shuffled"}},
        "missing": {"missing": {"rate": 0.5}},
        "again": {},
    }
    settings = {
        name: build_config(worlds.table_of("image") | table, ["training.max_epochs=2"])
        for name, table in tables.items()
    }
    together = train_replicates(settings, 2, tmp_path / "all", 1, RunLog())
    for name, config in settings.items():
        (alone,) = train_replicates({name: config}, 1, tmp_path / name, 1, RunLog())[name]
        assert together[name][0].metrics == alone.metrics
    shuffled = [each.fingerprints["features"] for each in together["control"]]
    assert shuffled[0] != shuffled[1]
    removed = [each.fingerprints["features"] for each in together["missing"]]
    assert removed[0] == removed[1]


def test_a_worker_takes_its_runs_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gets wrong would be done anew, unseen, by the process that started it."""
    table = worlds.table_of("image")
    settings = {
        name: build_config(table | more, ["training.max_epochs=2"])
        for name, more in (("control", {"controls": {"image": "shuffled"}}), ("plain", {}))
    }
    alone = train_replicates(settings, 1, tmp_path / "alone", 1, RunLog())
    folders = [tmp_path / "shared" / f"{name}-seed1" for name in settings]
    for folder in folders:
        folder.mkdir(parents=True)
        shutil.copy(tmp_path / "alone" / folder.name / "config.json", folder)
    monkeypatch.setattr(sys, "argv", ["fit", *map(str, folders)])
    runpy.run_path(fit.__file__, run_name="__main__")
    for folder in folders:
        weights, expected = (
            load_file(each / "checkpoint.safetensors")
            for each in (folder, tmp_path / "alone" / folder.name)
        )
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[key], expected[key]) for key in weights)
    shared = train_replicates(settings, 1, tmp_path / "shared", 1, RunLog())
    assert [each[0].metrics for each in shared.values()] == [
        each[0].metrics for each in alone.values()
    ]


def test_what_a_failed_worker_leaves_is_trained_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "run_processes", lambda words, *_: list(words)[:1])
    log, config = RunLog(), build_config(worlds.table_of("image"), ["training.max_epochs=1"])
    found = train_replicates({"full": config}, 2, tmp_path, 2, log)
    assert len(found["full"]) == 2
    log.write_to(tmp_path / "log.jsonl")
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (told,) = (each for each in events if each["event"] == "worker_failed")
    assert told["log"] == str(tmp_path / "worker-0.log")
    assert "trained here" in told["message"]


def test_a_study_that_is_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = worlds.short_of("image")
    real, trained = series.fit_in, []

    def stop_at_the_third(folder: Path, *given: object) -> object:
        trained.append(folder.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(folder, *given)

    monkeypatch.setattr(series, "fit_in", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        study_modalities(config, tmp_path / "a", seeds=1)
    assert not list((tmp_path / "a").glob("*/result.json"))
    monkeypatch.setattr(series, "fit_in", real)
    resumed = study_modalities(config, tmp_path / "a", seeds=1)
    assert resumed.rows == study_modalities(config, tmp_path / "b", seeds=1).rows
    events = [
        json.loads(line)["event"] for line in (tmp_path / "a/log.jsonl").read_text().splitlines()
    ]
    assert events.count("test_opened") == 1


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_another_device_label_or_memory_trains_nothing_anew_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permitted change of the device made every finished run unfinished, and removed it."""
    table = worlds.table_of("image")
    study_modalities(build_config(table, ["training.max_epochs=1"]), tmp_path / "a", seeds=1)
    before = contents(tmp_path / "a")
    monkeypatch.setattr(series, "fit_in", None)
    changed = ["training.max_epochs=1", "run.device=auto", "run.name=other", "tune.trials=3"]
    changed += ["evaluation.memory_mb=64", "training.checkpoint_every=2"]
    study_modalities(build_config(table, changed), tmp_path / "a", seeds=1)
    after = contents(tmp_path / "a")
    assert after.keys() == before.keys()
    kept = [name for name in before if "-seed" in name]
    assert kept
    assert all(after[name] == before[name] for name in kept)


def test_a_study_goes_on_where_its_files_lie_now(tmp_path: Path) -> None:
    shutil.copytree(worlds.folder(), tmp_path / "old")
    text = json.dumps(worlds.table_of("image"))
    old, new = (
        build_config(
            json.loads(text.replace(str(worlds.folder()), str(tmp_path / name))),
            ["training.max_epochs=1"],
        )
        for name in ("old", "new")
    )
    study_modalities(old, tmp_path / "study", seeds=1)
    (tmp_path / "old").rename(tmp_path / "new")
    before = contents(tmp_path / "study")
    more = study_modalities(new, tmp_path / "study", seeds=2)
    after = contents(tmp_path / "study")
    assert len(more.seeds) == 2
    first = [name for name in before if "-seed1" in name]
    assert first
    assert all(after[name] == before[name] for name in first)
    assert len(more.test_openings) == 2


def test_other_data_under_the_same_name_are_refused_before_training(tmp_path: Path) -> None:
    shutil.copytree(worlds.folder(), tmp_path / "data")
    text = json.dumps(worlds.table_of("image"))
    table = json.loads(text.replace(str(worlds.folder()), str(tmp_path / "data")))
    config = build_config(table, ["training.max_epochs=1"])
    study_modalities(config, tmp_path / "study", seeds=1)
    pairs = tmp_path / "data/pairs.csv"
    pairs.write_text("\n".join(pairs.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="holds a run on other data: dataset, split differ"):
        study_modalities(config, tmp_path / "study", seeds=2)


def test_a_run_of_other_settings_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    """The winner of a larger budget took the folder of the former one, which was removed."""
    one, other = (
        build_config(worlds.table_of("image"), ["training.max_epochs=1", f"model.reg={reg}"])
        for reg in (0.1, 0.2)
    )
    log = RunLog()
    first = train_replicates({"best": one}, 1, tmp_path, 1, log)["best"]
    before = contents(tmp_path / "best-seed1")
    second = train_replicates({"best": other}, 1, tmp_path, 1, log)["best"]
    assert first[0].config_hash != second[0].config_hash
    (aside,) = (path for path in tmp_path.iterdir() if path.name != "best-seed1")
    assert aside.name == f"best-seed1-{first[0].config_hash[:12]}"
    assert contents(aside) == before
    log.write_to(tmp_path / "log.jsonl")
    assert f"which is now {aside}" in (tmp_path / "log.jsonl").read_text()
    assert train_replicates({"best": one}, 1, tmp_path, 1, RunLog())["best"] == first
    assert contents(tmp_path / "best-seed1") == before
    assert read_result(tmp_path / f"best-seed1-{second[0].config_hash[:12]}") == second[0]


def test_a_study_keeps_the_openings_of_a_process_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    config = build_config(worlds.table_of("image"), ["training.max_epochs=1"])
    with monkeypatch.context() as patch:
        patch.setattr(series, "conclude", stop)
        with pytest.raises(KeyboardInterrupt):
            study_modalities(config, tmp_path, seeds=1)
    result = study_modalities(config, tmp_path, seeds=1)
    assert len(result.test_openings) == 2
    assert result.test_openings[0] == result.test_openings[1]


def test_final_seeds_are_none_that_trials_were_averaged_over() -> None:
    """With three seeds a trial, the seeds 1 and 2 have been searched with, too."""
    table = worlds.table_of("image") | {"tune": {"trial_seeds": 3}}
    base = build_config(table, ["run.seed=4"])
    assert [config.run.seed for config in seeded(base, 2)] == [7, 8]
    alone = build_config(table | {"tune": {}}, ["run.seed=4"])
    assert [config.run.seed for config in seeded(alone, 2)] == [5, 6]
