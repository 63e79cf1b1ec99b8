"""A folder holds what one command made: another one would overwrite its page and its record."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from graphrec import ConfigError, RunConfig, build_config, run
from graphrec.studies import study_fusions, study_missing, study_modalities
from graphrec.tuning import tune
from tests import flow

RECORDS = {
    "run": ("result.json", "checkpoint.safetensors"),
    "tune": ("study.json", "study.db"),
    "modality": ("modality.json",),
    "missing": ("missing.json",),
    "fusion": ("fusion.json",),
}
CALLS: dict[str, Callable[[RunConfig, Path], object]] = {
    "run": lambda config, out: run(config, out, resume=True),
    "tune": tune,
    "modality": study_modalities,
    "missing": study_missing,
    "fusion": study_fusions,
}


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("other", RECORDS)
def test_the_work_of_another_command_is_not_overwritten(
    command: str, other: str, tmp_path: Path
) -> None:
    """``modality`` and then ``missing`` with one ``--out`` left one report.html, of ``missing``."""
    if command == other:
        return
    config = build_config(flow.table_of(flow.data()))
    for record in RECORDS[other]:
        folder = tmp_path / record
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json")))
        (folder / record).write_text("{}")
        before = sorted(folder.iterdir())
        with pytest.raises(ConfigError, match=rf"{record}.* graphrec {other}.*another --out"):
            CALLS[command](config, folder)
        assert sorted(folder.iterdir()) == before


def test_resume_does_not_take_the_folder_of_a_study_for_that_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flow.write_data(tmp_path)
    config = flow.write_config(tmp_path, "popular")
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    (study / "config.json").write_text(config.read_text())
    (study / "study.json").write_text("{}")
    answer = flow.graphrec("run", config, "--resume", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["run_dir"] != "runs/study"
    assert {each.name for each in study.iterdir()} == {"config.json", "study.json"}


def test_resume_takes_the_newest_run_whatever_its_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``runs/first`` came before the stopped run of yesterday, as it is later in the alphabet."""
    monkeypatch.chdir(tmp_path)
    flow.write_data(tmp_path)
    config = flow.write_config(tmp_path, "popular")
    assert flow.graphrec("run", config, "--out", "runs/first").code == 0
    stopped = tmp_path / "runs" / "20990101-000000-popular"
    stopped.mkdir()
    (stopped / "config.json").write_text((tmp_path / "runs/first/config.json").read_text())
    answer = flow.graphrec("run", config, "--resume", "--json")
    assert json.loads(answer.out)["run_dir"] == f"runs/{stopped.name}"
