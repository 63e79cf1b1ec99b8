"""Trials draw, stop and are counted by their own settings."""

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import polars as pl
import pytest

from graphrec import Model, build_config, read_result, tune
from graphrec.experiment.prepared import Prepared
from graphrec.models.config import ModelConfig
from graphrec.tuning import objective as objective_module
from graphrec.tuning import search as search_module
from tests import flow
from tests.tuning import small


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these studies."""
    small.finished()
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


def test_each_trial_seed_has_its_own_rows_under_a_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are dealt out by run.seed; later seeds were given those of the first."""
    seen: list[tuple[int, str]] = []
    real = objective_module.build

    def remember(config: ModelConfig, prepared: Prepared) -> Model:
        seen.append((prepared.config.run.seed, prepared.features.fingerprint))
        return real(config, prepared)

    table = flow.table_of(flow.data()) | {"controls": {"text": "shuffled"}}
    table |= {"search": {"training.lr": [0.01]}}
    table |= {"tune": {"trials": 1, "trial_seeds": 2, "final_seeds": 2, "pruner": "none"}}
    monkeypatch.setattr(objective_module, "build", remember)
    config = build_config(table, ["training.max_epochs=1", "run.seed=1"])
    tune(config, tmp_path)
    trained = dict(seen)
    assert trained.keys() >= {1, 2}
    assert trained[1] != trained[2]
    final = read_result(tmp_path / "final/best-seed2")
    assert final.fingerprints["features"] == trained[2]


def test_a_searched_eval_every_reaches_the_pruner(tmp_path: Path) -> None:
    """Scores of every second epoch were reported as those of every one."""
    table = small.table_of(trials=2, final_seeds=0, sampler="grid")
    table |= {"search": {"training.eval_every": [2, 3]}}
    tune(build_config(table, ["training.eval_every=2", "training.max_epochs=7"]), tmp_path)
    study = optuna.load_study(study_name="mf", storage=f"sqlite:///{tmp_path}/study.db")
    steps = {
        each.params["training.eval_every"]: sorted(each.intermediate_values)
        for each in study.trials
    }
    assert steps == {2: [2, 4, 6, 7], 3: [3, 6, 7]}


def test_a_killed_study_counts_its_lost_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    result = tune(small.config_of(final_seeds=0), tmp_path)
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 1}
    whole = small.finished()
    columns = ["training.lr", "model.dim", "ndcg@5"]
    tables = [pl.read_parquet(each / "trials.parquet") for each in (tmp_path, whole)]
    done = [each.filter(state="complete").select(columns) for each in tables]
    assert done[0].equals(done[1])


def test_a_study_under_another_label_is_the_same_study(tmp_path: Path) -> None:
    """The label names it in its storage, where a second study would have begun from nothing."""
    first = tune(small.config_of(final_seeds=0), tmp_path)
    again = tune(small.config_of("run.name=other", final_seeds=0), tmp_path)
    assert again.trials == first.trials
    assert (again.name, again.best_trial) == (first.name, first.best_trial)


KILLED = """
import os, signal, sys
from pathlib import Path
from graphrec import tune
from graphrec.tuning.objective import Objective
from tests.tuning import small
real, trials = Objective._train, []
def train(self, trial, prepared, watch):
    trials.append(trial.number)
    if len(trials) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, trial, prepared, watch)
Objective._train = train
tune(small.config_of(final_seeds=0), Path(sys.argv[1]))
"""
