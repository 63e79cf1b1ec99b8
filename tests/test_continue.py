"""A run goes on with more epochs or more patience, as if it had had them from the start."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from graphrec import ConfigError, DataError, TrainingError, read_result, recommend, run
from tests import flow
from tests.test_resume import Killed, same, stop_at_checkpoint


def trained(out: Path, model: str, *overrides: str) -> Path:
    run(flow.config_of(flow.data(), model, overrides), out, resume=out.exists())
    return out


@pytest.mark.parametrize(
    ("model", "shared", "first", "later"),
    [
        ("mf", ("training.negatives=popularity",), ("training.max_epochs=2",), ()),
        ("ngcf", ("model.dropout=0.4",), ("training.max_epochs=3",), ("training.max_epochs=6",)),
        ("lightgcn", ("training.schedule=exponential",), ("training.max_epochs=1",), ()),
        ("lightgcn", ("evaluation.selection=last_epoch",), ("training.max_epochs=1",), ()),
        (
            "mf",
            ("training.max_epochs=30", "training.lr=0.05"),
            ("training.patience=2",),
            ("training.patience=4",),
        ),
    ],
)
def test_it_ends_with_the_numbers_of_a_run_with_these_limits(
    model: str, shared: Sequence[str], first: Sequence[str], later: Sequence[str], tmp_path: Path
) -> None:
    trained(tmp_path / "run", model, *shared, *first)
    before = read_result(tmp_path / "run")
    trained(tmp_path / "run", model, *shared, *later)
    whole = flow.finished(model, *shared, *later)
    same(tmp_path / "run", whole)
    after = read_result(tmp_path / "run")
    assert after.epochs > before.epochs
    assert after.config_hash == read_result(whole).config_hash != before.config_hash


@pytest.mark.parametrize("eval_every", [2, 3, 5])
def test_an_evaluation_that_was_due_to_the_end_alone_is_not_counted(
    eval_every: int, tmp_path: Path
) -> None:
    """A longer run would not have judged its fourth epoch, and might have chosen another one."""
    shared = (f"training.eval_every={eval_every}", "training.lr=0.05")
    trained(tmp_path / "run", "mf", *shared)
    trained(tmp_path / "run", "mf", *shared, "training.max_epochs=9")
    same(tmp_path / "run", flow.finished("mf", *shared, "training.max_epochs=9"))


def test_the_record_says_what_was_raised_and_when(tmp_path: Path) -> None:
    trained(tmp_path / "run", "mf", "training.max_epochs=2")
    trained(tmp_path / "run", "mf", "training.max_epochs=3")
    trained(tmp_path / "run", "mf", "training.max_epochs=4", "training.patience=30")
    result = read_result(tmp_path / "run")
    assert result.continued == [
        "epoch 2: training.max_epochs 2 -> 3",
        "epoch 3: training.max_epochs 3 -> 4",
        "epoch 3: training.patience 9 -> 30",
    ]
    assert "Training went on from epoch 2" in (tmp_path / "run/log.jsonl").read_text()
    assert read_result(flow.finished("mf")).continued == []


def test_every_opening_of_the_test_part_stays_in_the_record(tmp_path: Path) -> None:
    """The record of a resumed run named its own opening only."""
    trained(tmp_path / "run", "mf", "training.max_epochs=2")
    trained(tmp_path / "run", "mf")
    assert read_result(tmp_path / "run").test_openings == ["final evaluation"] * 2


def test_openings_of_a_killed_run_stay_although_its_last_line_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    module = sys.modules[run.__module__]
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tables", kill)
        with pytest.raises(Killed):
            trained(tmp_path / "run", "mf")
    log = tmp_path / "run/log.jsonl"
    log.write_text(log.read_text() + '{"time": "2026')
    trained(tmp_path / "run", "mf")
    assert read_result(tmp_path / "run").test_openings == ["final evaluation"] * 2
    whole = [line for line in log.read_text().splitlines() if line != '{"time": "2026']
    assert all(json.loads(line)["event"] for line in whole)


def test_stopped_while_it_goes_on_it_is_unfinished_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "run", "ngcf", "training.max_epochs=2")
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(1, True))
        with pytest.raises(Killed):
            trained(tmp_path / "run", "ngcf")
    with pytest.raises(DataError, match=r"config\.json has changed since the run.*--resume"):
        recommend(tmp_path / "run", ["u01"], 3)
    trained(tmp_path / "run", "ngcf")
    same(tmp_path / "run", flow.finished("ngcf"))
    assert read_result(tmp_path / "run").continued == ["epoch 2: training.max_epochs 2 -> 4"]


def test_lower_limits_are_those_of_another_run(tmp_path: Path) -> None:
    trained(tmp_path / "run", "mf")
    for name in ("max_epochs", "patience"):
        with pytest.raises(ConfigError, match=rf"training\.{name} differ"):
            trained(tmp_path / "run", "mf", f"training.{name}=1")


def test_more_epochs_are_another_run_where_the_learning_rate_depends_on_them(
    tmp_path: Path,
) -> None:
    trained(tmp_path / "run", "mf", "training.schedule=cosine", "training.max_epochs=2")
    with pytest.raises(ConfigError, match=r"training\.max_epochs differ"):
        trained(tmp_path / "run", "mf", "training.schedule=cosine")


def test_a_run_whose_last_state_was_removed_cannot_go_on_and_says_so(tmp_path: Path) -> None:
    """As one that an earlier version has written; its recommendations remain."""
    trained(tmp_path / "run", "mf", "training.max_epochs=2")
    (tmp_path / "run/last.safetensors").unlink()
    assert len(recommend(tmp_path / "run", ["u01"], 3)) == 3
    with pytest.raises(TrainingError, match="not the state from which it could go on"):
        trained(tmp_path / "run", "mf")
    assert len(recommend(tmp_path / "run", ["u01"], 3)) == 3


def test_the_command_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = flow.write_config(flow.data(), "mf")
    first = flow.graphrec("run", config, "training.max_epochs=2", "--json")
    again = flow.graphrec("run", config, "training.max_epochs=4", "--resume", "--json")
    folders = [json.loads(each.out.splitlines()[-1])["run_dir"] for each in (first, again)]
    assert folders[0] == folders[1]
    assert read_result(Path(folders[0])).epochs == 4


def test_another_device_or_kernel_goes_on_and_that_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, True))
        with pytest.raises(Killed):
            trained(tmp_path / "run", "lightgcn")
    module = sys.modules["graphrec.experiment.prepared"]
    kernels = module.choose_backend("auto", module.torch.device("cpu"))
    other = "torch" if kernels == "dgl" else "pyg"
    monkeypatch.setattr(module, "choose_backend", lambda *_: other)
    trained(tmp_path / "run", "lightgcn", "run.device=auto")
    result = read_result(tmp_path / "run")
    assert result.continued == [f"epoch 2: run.backend {kernels} -> {other}"]
    assert result.backend == other
