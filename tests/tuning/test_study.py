"""The study in its storage: who may join it, which trials count, which are tried again."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from graphrec import ConfigError, DataError
from graphrec.tuning import study as study_module
from graphrec.tuning.samplers import pruner_of, sampler_of
from graphrec.tuning.study import ATTEMPTS, HERE, connect, enqueue, reclaim, study_of, try_again
from graphrec.tuning.trials import counted, is_lost, seconds_left, seconds_of
from graphrec.tuning.work import quiet
from tests.tuning import small

PRINTS = {"dataset": "d", "split": "s"}


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        f"sqlite:///{tmp_path}/deep/study.db" if request.param == "sqlite" else f"{tmp_path}/s.log"
    )


def made(storage: str, *overrides: str, **prints: str) -> optuna.Study:
    with quiet():
        return study_of(storage, small.config_of(*overrides), ["ndcg@5"], PRINTS | prints)


def running(study: optuna.Study, pid: int, host: str = str(HERE["host"])) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("worker", {"host": host, "pid": pid})
    return trial


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_study_is_made_once_and_joined_after(storage: str) -> None:
    first = made(storage)
    enqueue(first, [{"x": 1.0}], "own")
    second = made(storage, "tune.trials=9", "tune.final_seeds=0", "run.device=auto")
    assert second.user_attrs["objectives"] == ["ndcg@5"]
    assert [each.name for each in second.directions] == ["MAXIMIZE"]
    assert len(second.trials) == 1


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    """Each finds no tables and makes them; all but one come too late."""
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(connect, [f"sqlite:///{tmp_path}/study.db"] * 4))
    assert [optuna.get_all_study_names(each) for each in opened] == [[]] * 4


def test_another_configuration_or_other_data_are_refused(storage: str) -> None:
    made(storage)
    with pytest.raises(ConfigError, match=r"another configuration.*config\.model\.reg differ"):
        made(storage, "model.reg=0.5")
    with pytest.raises(ConfigError, match=r"fingerprints\.dataset differ.*another --out"):
        made(storage, dataset="other")


def test_the_same_data_in_another_place_are_the_same(storage: str) -> None:
    made(storage)
    made(storage, "data.path=elsewhere.csv")


def test_the_identity_of_a_study_holds_what_was_chosen_and_no_defaults(storage: str) -> None:
    """A setting that a later version adds must not make another study of it."""
    config = made(storage).user_attrs["identity"]["config"]
    assert config["tune"] == {}
    assert "evaluation" not in config or "memory_mb" not in config["evaluation"]
    assert config["training"]["lr"] == 0.02


def test_a_queue_holds_nothing_twice(storage: str) -> None:
    study = made(storage)
    enqueue(study, [{"x": 1.0}, {"x": 2.0}, {"x": 1.0}], "own")
    enqueue(study, [{"x": 2.0}, {"x": 3.0}], "grid")
    assert [each.system_attrs["fixed_params"]["x"] for each in study.trials] == [1.0, 2.0, 3.0]
    assert [each.user_attrs["why"] for each in study.trials] == ["own", "own", "grid"]


def test_a_trial_whose_process_is_gone_is_tried_again(storage: str) -> None:
    study = made(storage)
    lost = running(study, a_dead_pid())
    alive = running(study, os.getpid())
    far = running(study, a_dead_pid(), host="elsewhere")
    with quiet():
        reclaim(study)
        reclaim(study)
    states = [each.state for each in study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING, TrialState.WAITING]
    again = study.trials[3]
    assert again.system_attrs["fixed_params"] == study.trials[0].params
    assert again.user_attrs["attempt"] == 2
    assert [each.number for each in counted(study)] == [alive.number, far.number]
    assert is_lost(study.trials[lost.number])


@pytest.mark.parametrize("changes", [{"ticks": 1}, {"boot": "before"}])
def test_a_process_with_the_number_of_a_dead_worker_is_not_that_worker(
    changes: dict[str, object], storage: str
) -> None:
    """In a container every process has the number of the one before, and the study waited on."""
    study = made(storage)
    trial = running(study, os.getpid())
    trial.set_user_attr("worker", HERE | changes)
    with quiet():
        reclaim(study)
    assert is_lost(study.trials[0])
    assert study.trials[1].state == TrialState.WAITING


def test_a_trial_that_nobody_signed_is_lost_after_a_while(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was killed as soon as it had it; a study in a journal waited forever."""
    study = made(storage)
    study.ask().suggest_float("x", 0, 1)
    with quiet():
        reclaim(study)
    assert study.trials[0].state == TrialState.RUNNING
    monkeypatch.setattr(study_module, "GRACE_SECONDS", -1)
    with quiet():
        reclaim(study)
    assert is_lost(study.trials[0])
    assert counted(study) == []


def test_a_study_of_an_earlier_version_is_joined(storage: str) -> None:
    """Its identity has no data and features, and it has the label."""
    study = made(storage)
    first = study.user_attrs["identity"]["config"]
    old = {key: value for key, value in first.items() if key not in ("data", "features")}
    old["run"] = {"name": "mf", "recommend_k": 5}
    study.set_user_attr("identity", {"config": old, "fingerprints": PRINTS})
    made(storage)
    with pytest.raises(ConfigError, match=r"config\.model\.reg differ"):
        made(storage, "model.reg=0.5")


def test_settings_of_features_are_part_of_a_study_and_places_are_not(storage: str) -> None:
    study = made(storage)
    identity = study.user_attrs["identity"]["config"]
    assert identity["data"]["path"] == "(path)"
    assert "name" not in identity["run"]


def test_settings_that_kill_every_worker_are_given_up(storage: str) -> None:
    study = made(storage)
    running(study, a_dead_pid())
    for _ in range(5):
        with quiet():
            reclaim(study)
        if any(each.state == TrialState.WAITING for each in study.trials):
            running(study, a_dead_pid())
    assert len(study.trials) == ATTEMPTS
    assert counted(study) == []


def test_a_trial_that_failed_by_itself_counts_and_is_not_lost(storage: str) -> None:
    study = made(storage)
    trial = running(study, os.getpid())
    trial.set_user_attr("error", "ValueError: no")
    study.tell(trial, state=TrialState.FAIL)
    assert [each.number for each in counted(study)] == [0]
    assert not is_lost(study.trials[0])


def test_a_retried_trial_keeps_why_it_was_proposed(storage: str) -> None:
    study = made(storage)
    enqueue(study, [{"x": 0.5}], "own")
    running(study, a_dead_pid())
    with quiet():
        reclaim(study)
    assert study.trials[1].user_attrs == {"why": "own", "attempt": 2}
    assert study.trials[1].system_attrs["fixed_params"] == {"x": 0.5}


def test_seconds_are_those_of_all_trials(storage: str) -> None:
    study = made(storage)
    for _ in range(2):
        study.tell(running(study, os.getpid()), 1.0)
    durations = [each.duration.total_seconds() for each in study.trials if each.duration]
    assert seconds_of(study.trials) == pytest.approx(sum(durations))
    assert seconds_left(study, None) == float("inf")
    assert seconds_left(study, 10) == pytest.approx(10 - sum(durations))


def test_a_storage_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be read as one")
    with pytest.raises(DataError, match=r"text\.db, cannot be used.*same command goes on"), quiet():
        connect(f"sqlite:///{tmp_path}/text.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be used"), quiet():
        connect(f"{tmp_path}/file/journal.log")


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(DataError, match=r"needs a database driver.*pymysql"), quiet():
        connect("mysql+pymysql://nobody@localhost/graphrec")


def test_a_locked_database_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from graphrec.tuning import study as module

    made(f"sqlite:///{tmp_path}/s.db")
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match=r"s\.db, cannot be used: .*locked"):
        made(f"sqlite:///{tmp_path}/s.db")
    other.close()


@pytest.mark.parametrize("pruner", ["none", "median", "halving", "hyperband"])
def test_no_pruner_gives_up_before_the_first_epochs(pruner: str) -> None:
    config = small.config_of(f"tune.pruner={pruner}", "tune.min_epochs=3")
    with quiet():
        study = optuna.create_study(direction="maximize", pruner=pruner_of(config.tune))
    for score in [*range(10, 30), 0]:
        trial = study.ask()
        told = []
        for step in range(1, 60):
            trial.report(score, step)
            told.append(trial.should_prune())
        study.tell(trial, score)
    assert not any(told[:2])
    assert any(told) == (pruner != "none")


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes", "nsga2", "qmc"])
def test_proposals_depend_on_the_trials_before_and_not_on_the_process(name: str) -> None:
    config = small.config_of(f"tune.sampler={name}", "tune.pruner=none")

    def proposals(pieces: list[int]) -> list[float]:
        with quiet():
            store = optuna.storages.InMemoryStorage()
            for piece in pieces:
                study = optuna.create_study(
                    storage=store, study_name="s", load_if_exists=True, sampler=sampler_of(config)
                )
                for _ in range(piece):
                    trial = study.ask()
                    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
                    study.tell(trial, (x - 0.3) ** 2 + y)
        return [each.params["x"] for each in study.trials]

    whole = proposals([25])
    assert proposals([3, 10, 12]) == whole
    assert len(set(whole)) > 15  # a genetic sampler may keep a gene


def test_lost_trials_do_not_change_what_is_proposed() -> None:
    config = small.config_of()

    def values(lose: bool) -> list[float]:
        with quiet():
            study = optuna.create_study(sampler=sampler_of(config))
            for index in range(15):
                trial = study.ask()
                x = trial.suggest_float("x", 0, 1)
                if lose and index == 12:
                    study.tell(trial, state=TrialState.FAIL)
                    try_again(study, study.trials[-1])
                    trial = study.ask()
                    assert trial.suggest_float("x", 0, 1) == x
                study.tell(trial, x)
        return [each.params["x"] for each in study.trials if each.values]

    assert values(lose=True) == values(lose=False)


@pytest.mark.parametrize("name", ["study.db", "study.journal"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_storage_is_one_sentence(name: str, damage: str, tmp_path: Path) -> None:
    """A journal with a damaged line raised whatever optuna's parser met: KeyError, JSON errors."""
    path = tmp_path / name
    storage = f"sqlite:///{path}" if name.endswith("db") else str(path)
    made(storage)
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {"cut": content[:middle], "noise": b"{not a study" + content[12:]}[damage]
    path.write_bytes(changed + b"\n{broken\n" if name.endswith("journal") else changed)
    with pytest.raises(DataError, match=r"cannot be used: .*the same command goes on"):
        made(storage)


def test_damaged_notes_beside_a_trial_are_one_sentence(storage: str) -> None:
    study = made(storage)
    study.enqueue_trial({}, user_attrs={"worker": {"host": 1}})
    with pytest.raises(DataError, match="is damaged: what is noted beside its trials"):
        made(storage)
