"""Several processes at one study: killed, stopped, and joining from elsewhere."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import optuna
import polars as pl
import pytest

from graphrec import ConfigError, tune
from graphrec.config import TuneConfig
from graphrec.core.files import write_json
from graphrec.tuning import join
from graphrec.tuning import search as search_module
from graphrec.tuning.objective import Objective
from graphrec.tuning.record import trial_table
from graphrec.tuning.result import read_study
from graphrec.tuning.trials import counted
from graphrec.tuning.work import work
from tests import flow
from tests.tuning import small

SETTINGS = ["training.lr", "model.dim"]
SLOW = ["training.max_epochs=100", "training.patience=100", "tune.pruner=none"]


def command(
    folder: Path, *arguments: str, trials: int = 4, settings: Sequence[str] = SLOW
) -> list[str]:
    config = small.config_of(*settings, f"tune.trials={trials}", "tune.final_seeds=0")
    write_json(folder / "given.json", config.model_dump(mode="json"))
    words = [sys.executable, "-m", "graphrec", "tune", str(folder / "given.json")]
    return [*words, "--out", str(folder / "mf"), *arguments]


@contextmanager
def started(words: Sequence[str], **given: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own, which is gone when the block ends."""
    whole = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True, **given
    )
    try:
        yield whole
    finally:
        with suppress(ProcessLookupError):  # workers of a test that failed would go on for minutes
            os.killpg(whole.pid, signal.SIGKILL)
        whole.wait()


def wait_for(what: Callable[[], set[int]], whole: subprocess.Popen[str]) -> set[int]:
    """The processes that are found at last, while the command is still at work."""
    deadline = time.monotonic() + 300
    while not (found := what()):
        if whole.poll() is not None:
            pytest.fail(f"The command ended with {whole.returncode}: {whole.communicate()[1]}")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def study_in(folder: Path) -> optuna.Study | None:
    """The study once it is made; looking for it earlier would make its database."""
    return opened(folder) if (folder / "mf/config.json").exists() else None


@cache
def opened(folder: Path) -> optuna.Study:
    """Once, because opening takes longer than the pause between two looks."""
    return optuna.load_study(study_name="mf", storage=f"sqlite:///{folder}/mf/study.db")


def running_pids(folder: Path) -> set[int]:
    """Processes whose trial has begun, and has its settings."""
    study = study_in(folder)
    trials = study.get_trials(states=(optuna.trial.TrialState.RUNNING,)) if study else []
    return {
        each.user_attrs["worker"]["pid"]
        for each in trials
        if "worker" in each.user_attrs and each.params.keys() >= set(SETTINGS)
    }


def both_run(folder: Path) -> set[int]:
    pids = running_pids(folder)
    return pids if len(pids) == 2 else set()


def finished_count(folder: Path) -> int:
    study = study_in(folder)
    return sum(each.state.is_finished() for each in counted(study)) if study else 0


ONE_WORKER_DIES = """
import os, signal, sys
if "--join" in sys.orig_argv:
    from graphrec.tuning import objective
    real, calls = objective.fit_model, 0
    def fit_model(*given, **more):
        global calls
        calls += 1
        if calls == 2:
            try:
                os.mkdir({mark!r})  # one worker can, and no other
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)
    objective.fit_model = fit_model
"""
"""Read by every Python process: the first worker that trains a second model kills itself there."""


def test_a_killed_worker_costs_its_trial_and_nothing_else(tmp_path: Path) -> None:
    script = ONE_WORKER_DIES.format(mark=str(tmp_path / "killed"))
    (tmp_path / "sitecustomize.py").write_text(script)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = command(tmp_path, "--workers", "2", trials=6, settings=["tune.pruner=none"])
    environment = {**os.environ, "PYTHONPATH": path}
    with started(words, env=environment) as whole:
        _, told = whole.communicate()
    assert whole.returncode == 0, told
    assert (tmp_path / "killed").exists()
    result = read_study(tmp_path / "mf")
    assert result.trials == {"complete": 6, "pruned": 0, "failed": 0, "lost": 1}
    table = pl.read_parquet(tmp_path / "mf/trials.parquet")
    lost = table.filter(pl.col("state") == "lost").select(SETTINGS).row(0)
    done = table.filter(pl.col("state") == "complete").select(SETTINGS).rows()
    assert lost in done


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_study_ends_cleanly_and_goes_on(tmp_path: Path, number: int) -> None:
    words = command(tmp_path, trials=1000)
    two = [*words, "--workers", "2"]
    with started(two) as whole:
        workers = wait_for(lambda: both_run(tmp_path), whole)
        whole.send_signal(number)
        _, told = whole.communicate(timeout=300)
        assert whole.returncode == 130
        assert f"Go on with: graphrec {shlex.join(two[two.index('tune') :])}" in told
        assert "Traceback" not in told
        assert running_pids(tmp_path) == set()
        for pid in workers:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    budget = finished_count(tmp_path) + 2
    words = words[words.index("tune") :]
    assert flow.graphrec(*words, "--trials", str(budget)).code == 0
    result = read_study(tmp_path / "mf")
    assert result.trials["complete"] == budget
    assert result.trials["lost"] in (1, 2)  # one of them may just have been between two trials


@pytest.mark.slow
def test_a_worker_joins_by_the_storage(tmp_path: Path) -> None:
    storage = f"{tmp_path}/shared.journal"
    writing = command(tmp_path, "--storage", storage)  # the one that also writes the results
    joining = command(tmp_path, "--storage", storage, "--join")
    with started(writing) as first, started(joining) as second:
        assert second.wait(240) == 0
        assert first.wait(240) == 0
    result = read_study(tmp_path / "mf")
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 0}
    assert result.workers == 2


def test_there_must_be_a_study_to_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "JOIN_SECONDS", 0)
    with pytest.raises(ConfigError, match=r"holds no study 'mf' to join\. Start it first"):
        join(small.config_of(), f"{tmp_path}/s.journal")


def test_workers_that_all_end_early_are_an_error(tmp_path: Path) -> None:
    words = command(tmp_path, "--workers", "2", trials=1000)
    with started(words) as whole:
        for pid in wait_for(lambda: both_run(tmp_path), whole):
            os.kill(pid, signal.SIGKILL)
        _, told = whole.communicate(timeout=300)
    assert whole.returncode == 2
    assert "All workers ended early" in told
    assert "worker-0.log" in told


def test_a_trial_beyond_the_budget_is_given_back() -> None:
    """Another worker may take the last one between this worker's look and its own start."""
    study, objective = optuna.create_study(), Mock(spec=Objective)

    def another_is_faster(trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        if not trials:
            study.add_trial(optuna.trial.create_trial(value=1.0))

    work(study, objective, TuneConfig(trials=1), "memory", another_is_faster)
    objective.measure.assert_not_called()
    study.set_user_attr("objectives", ["ndcg@5"])
    assert len(study.trials) == 2
    assert trial_table(study)["state"].to_list() == ["complete"]


def test_a_queued_trial_beyond_the_budget_stays_in_the_queue() -> None:
    """The budget may grow later, and with it what is left of a grid."""
    study, objective = optuna.create_study(), Mock(spec=Objective)
    for lr in (0.1, 0.2):
        study.enqueue_trial({"lr": lr}, user_attrs={"why": "grid"})

    def another_is_faster(trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        if not trials:
            study.tell(study.ask(), 1.0)

    work(study, objective, TuneConfig(trials=1, sampler="grid"), "memory", another_is_faster)
    objective.measure.assert_not_called()
    waiting = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    assert [each.system_attrs["fixed_params"] for each in waiting] == [{"lr": 0.2}]
    assert waiting[0].user_attrs["why"] == "grid"


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With proposals that need no history, only the order of trials may differ."""
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)
    tables, results = [], []
    for count in (1, 2):
        out = tmp_path / str(count)
        results.append(tune(small.config_of("tune.sampler=random"), out, workers=count))
        tables.append(pl.read_parquet(out / "trials.parquet").select("training.lr", "ndcg@5"))
    assert tables[0].sort("training.lr").equals(tables[1].sort("training.lr"))
    assert results[0].test == results[1].test
    assert len(results[1].test_openings) == 1
