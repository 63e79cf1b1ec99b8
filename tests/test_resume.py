"""A run that was stopped and resumed equals one that was not."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import safetensors.torch
import torch

from graphrec import ConfigError, Result, TrainingError, read_result, run
from graphrec.experiment import run as run_module
from graphrec.training import Checkpoint, write_checkpoint
from tests import flow

# Each uses another source of random numbers: none but the order, dropout, and both with content
# and with all that the flagship leaves out in training.
RNG_USERS = {
    "mf": ("training.schedule=cosine",),
    "lightgcn": ("training.negatives=popularity", "training.num_negatives=2"),
    "ngcf": ("model.dropout=0.4", "training.schedule=exponential", "training.decay=0.5"),
    "modality_attention_gcn": (
        "model.backbone=ngcf",
        "model.dropout=0.3",
        "model.edge_drop=0.3",
        "model.edge_drop_kind=degree",
        "model.feature_drop=0.2",
        "model.modality_dropout=0.3",
        "features.stats.encoder=interactions",
        "user_features.stats.encoder=interactions",
    ),
}


class Killed(BaseException):
    """Stands for a kill in this process: nothing may catch it."""


def same(resumed: Path, whole: Path) -> None:
    """All that is measured is equal; only the seconds may differ."""
    left, right = read_result(resumed), read_result(whole)
    for name in ("metrics", "best_epoch", "epochs", "stopped", "baselines", "num_users"):
        assert getattr(left, name) == getattr(right, name), name
    assert flow.untimed(left) == flow.untimed(right)
    for name in ("recommendations.parquet", "per_user.parquet"):
        assert pl.read_parquet(resumed / name).equals(pl.read_parquet(whole / name)), name
    if (whole / "checkpoint.safetensors").exists():
        mine, other = (
            safetensors.torch.load_file(folder / "checkpoint.safetensors")
            for folder in (resumed, whole)
        )
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert not list(resumed.glob("*.part"))


def stop_at_checkpoint(number: int, after: bool) -> Callable[[Path, Checkpoint], None]:
    """A ``write_checkpoint`` that is killed at its n-th call, before or after writing."""
    calls = 0

    def write(path: Path, checkpoint: Checkpoint) -> None:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            raise Killed
        write_checkpoint(path, checkpoint)
        if calls == number:
            raise Killed

    return write


@pytest.mark.parametrize("model", RNG_USERS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_stopped_at_any_checkpoint_and_resumed_equals_uninterrupted(
    model: str, number: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flow.finished(model, *RNG_USERS[model])
    config = flow.config_of(flow.data(), model, RNG_USERS[model])
    with monkeypatch.context() as patch:
        patch.setattr(
            "graphrec.training.resume.write_checkpoint", stop_at_checkpoint(number, after)
        )
        with pytest.raises(Killed):
            run(config, tmp_path)
    run(config, tmp_path, resume=True)
    same(tmp_path, whole)


def test_stopped_twice_and_resumed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flow.finished("ngcf", *RNG_USERS["ngcf"])
    config = flow.config_of(flow.data(), "ngcf", RNG_USERS["ngcf"])
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, False))
            with pytest.raises(Killed):
                run(config, tmp_path, resume=True)
    run(config, tmp_path, resume=True)
    same(tmp_path, whole)


def test_patience_counts_on_across_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("training.patience=3", "training.max_epochs=30", "training.lr=0.05")
    whole = flow.finished("mf", *overrides)
    result = read_result(whole)
    assert result.stopped == "patience"
    assert result.epochs == result.best_epoch + 3 < 30
    config = flow.config_of(flow.data(), "mf", overrides)
    with monkeypatch.context() as patch:
        stop = stop_at_checkpoint(result.epochs - 1, True)  # two of the three are counted
        patch.setattr("graphrec.training.resume.write_checkpoint", stop)
        with pytest.raises(Killed):
            run(config, tmp_path)
    run(config, tmp_path, resume=True)
    same(tmp_path, whole)


@pytest.mark.parametrize("stage", ["fit_baselines", "write_tables", "write"])
def test_stopped_after_training(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    whole = flow.finished("mf", 'evaluation.baselines=["ngcf"]')
    config = flow.config_of(flow.data(), "mf", ['evaluation.baselines=["ngcf"]'])
    with monkeypatch.context() as patch:
        patch.setattr(Result if stage == "write" else run_module, stage, kill)
        with pytest.raises(Killed):
            run(config, tmp_path)
    trained = (tmp_path / "checkpoint.safetensors").read_bytes()
    run(config, tmp_path, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == trained
    same(tmp_path, whole)


def test_checkpoints_every_other_epoch_and_evaluations_every_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (
        "training.checkpoint_every=2",
        "training.eval_every=3",
        "training.max_epochs=8",
        "model.dropout=0.3",
    )
    whole = flow.finished("ngcf", *overrides)
    judged = [record["epoch"] for record in read_result(whole).history if "valid/ndcg@5" in record]
    assert judged == [3, 6, 8]
    config = flow.config_of(flow.data(), "ngcf", overrides)
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, True))
        with pytest.raises(Killed):
            run(config, tmp_path)
    run(config, tmp_path, resume=True)
    same(tmp_path, whole)


def test_closed_form_models_are_solved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    config = flow.config_of(flow.data(), "ease")
    with monkeypatch.context() as patch:
        patch.setattr(Result, "write", kill)
        with pytest.raises(Killed):
            run(config, tmp_path)
    run(config, tmp_path, resume=True)
    same(tmp_path, flow.finished("ease"))


# A real process, a real SIGKILL.


KILL_AFTER = """
import os, signal, sys
from pathlib import Path
left, real = {count}, Path.replace
def replace(self, target):
    global left
    answer = real(self, target)
    left -= Path(target).name == {name!r}
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Path.replace = replace
sys.argv = ["graphrec", "run", {config!r}, "--out", {out!r}]
from graphrec.cli.main import main
main()
"""
"""A run that kills itself as soon as it has written a file so often."""


def test_killed_processes_resume_to_the_numbers_of_an_uninterrupted_run(tmp_path: Path) -> None:
    """Three moments at once, because importing torch takes most of the time."""
    overrides = ("model.dropout=0.3", "training.max_epochs=30", "training.patience=80")
    config = tmp_path / "ngcf.json"
    settings = flow.config_of(flow.data(), "ngcf", overrides)
    config.write_text(json.dumps(settings.model_dump(mode="json")))
    moments = {
        "before": ("config.json", 1),
        "first": ("checkpoint.safetensors", 1),
        "middle": ("checkpoint.safetensors", 10),
    }
    processes = []
    for folder, (name, count) in moments.items():
        given = {"config": str(config), "out": str(tmp_path / folder)}
        script = KILL_AFTER.format(name=name, count=count, **given)
        processes.append(subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE))
    for process in processes:
        _, told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told
    for folder, epochs in zip(moments, (0, 1, 10), strict=True):
        out = tmp_path / folder
        assert epochs_in(out / "checkpoint.safetensors") == epochs
        assert not (out / "result.json").exists()
        run(settings, out, resume=True)
        same(out, flow.finished("ngcf", *overrides))


def epochs_in(path: Path) -> int:
    if not path.exists():
        return 0
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    return len(json.loads(metadata["state"])["result"]["history"])


def test_a_kill_inside_a_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """The process kills itself between writing the bytes and the rename, at the third save."""
    script = f"""
import os, signal, sys
from pathlib import Path
count = 0
real = Path.replace
def replace(self, target):
    global count
    count += "checkpoint" in str(target)
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
Path.replace = replace
sys.argv = ["graphrec", "run", {str(flow.write_config(flow.data(), "mf"))!r}, "--out",
            {str(tmp_path / "run")!r}]
from graphrec.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert epochs_in(tmp_path / "run/checkpoint.safetensors") == 2
    run(flow.config_of(flow.data(), "mf"), tmp_path / "run", resume=True)
    same(tmp_path / "run", flow.finished("mf"))


# What --resume accepts and refuses.


def test_resuming_a_finished_run_returns_it_unchanged() -> None:
    folder = flow.finished("mf")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    result = run(flow.config_of(flow.data(), "mf"), folder, resume=True)
    assert result == read_result(folder)
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert after == before


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of mf that was stopped after its second checkpoint; its data are its own."""
    flow.write_data(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, True))
        with pytest.raises(Killed):
            run(flow.config_of(tmp_path, "mf"), tmp_path / "run")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_resume_refuses_another_configuration_and_names_what_differs(stopped: Path) -> None:
    before = contents(stopped / "run")
    other = flow.config_of(stopped, "mf", ["training.lr=0.5", "model.dim=4"])
    with pytest.raises(ConfigError, match=r"model\.dim, training\.lr differ"):
        run(other, stopped / "run", resume=True)
    assert contents(stopped / "run") == before


def test_resume_refuses_other_data_and_names_what_differs(stopped: Path) -> None:
    pairs = (stopped / "pairs.csv").read_text().splitlines()
    (stopped / "pairs.csv").write_text("\n".join(pairs[:-1]) + "\n")
    with pytest.raises(TrainingError, match="dataset, split differ"):
        run(flow.config_of(stopped, "mf"), stopped / "run", resume=True)


def test_resume_refuses_the_checkpoint_of_another_run(stopped: Path) -> None:
    other = flow.finished("mf", "run.seed=5") / "checkpoint.safetensors"
    (stopped / "run/checkpoint.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(TrainingError, match="belongs to another run: config"):
        run(flow.config_of(stopped, "mf"), stopped / "run", resume=True)


def test_resume_refuses_a_damaged_checkpoint(stopped: Path) -> None:
    path = stopped / "run/checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors is damaged"):
        run(flow.config_of(stopped, "mf"), stopped / "run", resume=True)


def test_a_used_folder_needs_resume(stopped: Path) -> None:
    with pytest.raises(ConfigError, match=r"already holds a run.*--resume"):
        run(flow.config_of(stopped, "mf"), stopped / "run")


def test_resume_without_out_finds_the_newest_run_of_the_configuration(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped)
    runs = stopped / "runs"
    runs.mkdir()
    (stopped / "run").rename(runs / "20260101-000000-mf-x")
    run(flow.config_of(stopped, "mf"), runs / "20250101-000000-mf-x")  # older, finished
    run(flow.config_of(stopped, "mf", ["model.dim=4"]), runs / "20270101-000000-mf-y")
    config = stopped / "own.json"
    config.write_text((runs / "20260101-000000-mf-x/config.json").read_text())
    answer = flow.graphrec("run", config, "--resume", "--json")
    assert answer.code == 0, answer.err
    last = json.loads(answer.out.splitlines()[-1])
    assert last["run_dir"] == str(Path("runs/20260101-000000-mf-x"))
    assert len(list(runs.iterdir())) == 3
    same(runs / "20260101-000000-mf-x", runs / "20250101-000000-mf-x")


def test_resume_without_a_run_of_the_configuration_starts_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("run", config, "--resume", "run.name=a/b", "--json")
    assert answer.code == 0, answer.err
    folder = Path(json.loads(answer.out.splitlines()[-1])["run_dir"])
    assert folder.parent == Path("runs")
    assert (tmp_path / folder / "result.json").exists()


def test_the_log_of_a_resumed_run_keeps_what_came_before(stopped: Path) -> None:
    before = (stopped / "run/log.jsonl").read_text()
    run(flow.config_of(stopped, "mf"), stopped / "run", resume=True)
    log = (stopped / "run/log.jsonl").read_text()
    assert log.startswith(before)
    starts = [
        event["resume"] for event in map(json.loads, log.splitlines()) if event["event"] == "start"
    ]
    assert starts == [False, True]


def test_the_fit_seconds_of_a_resumed_run_count_both_parts(stopped: Path) -> None:
    result = run(flow.config_of(stopped, "mf"), stopped / "run", resume=True)
    epochs = sum(record["train_seconds"] + record["valid_seconds"] for record in result.history)
    assert result.seconds["fit"] >= epochs
