"""Runs of a series: what they share, and how they go on after an interruption."""

import json
from pathlib import Path

import pytest

from graphrec import build_config
from graphrec.lab import series, study_modalities
from graphrec.lab.series import train_series
from graphrec.run_log import RunLog
from tests.lab import worlds


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
    together = train_series(settings, 2, tmp_path / "all", 1, RunLog())
    for name, config in settings.items():
        (alone,) = train_series({name: config}, 1, tmp_path / name, 1, RunLog())[name]
        assert together[name][0].metrics == alone.metrics
    shuffled = [each.fingerprints["features"] for each in together["control"]]
    assert shuffled[0] != shuffled[1]
    removed = [each.fingerprints["features"] for each in together["missing"]]
    assert removed[0] == removed[1]


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
