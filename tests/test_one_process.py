"""Two commands on one folder: one does its work, the other is told who is at it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graphrec import run
from graphrec import tune as tune_config
from graphrec.config import RunConfig
from graphrec.core.claim import CLAIM, claimed
from graphrec.core.errors import ConfigError
from graphrec.core.processes import PARENT
from graphrec.studies import study_fusions, study_missing, study_modalities
from graphrec.studies.distill import distill
from tests import flow
from tests.studies import worlds
from tests.test_resume import same
from tests.tuning import small


def config() -> RunConfig:
    return worlds.short_of("image", "junk")


def taught() -> RunConfig:
    teacher = str(flow.finished("mf"))
    return flow.config_of(flow.data(), "mf", [f'distill.teacher="{teacher}"', "model.dim=4"])


WORK = {
    "run": lambda out: run(flow.config_of(flow.data(), "mf"), out),
    "run --resume": lambda out: run(flow.config_of(flow.data(), "mf"), out, resume=True),
    "tune": lambda out: tune_config(small.config_of(), out),
    "modality": lambda out: study_modalities(config(), out, seeds=1),
    "missing": lambda out: study_missing(config(), out, seeds=1),
    "fusion": lambda out: study_fusions(config(), out, tuned=False),
    "distill": lambda out: distill(taught(), out),
}


@pytest.mark.parametrize("command", WORK)
def test_a_folder_at_which_another_process_works_is_refused(command: str, tmp_path: Path) -> None:
    """Both succeeded, and left a folder with files of either."""
    with claimed(tmp_path / "out"):
        with pytest.raises(ConfigError, match=r"out is in use by process \d+ on .* since 20"):
            WORK[command](tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [CLAIM]


def test_of_two_runs_that_start_at_once_one_runs(tmp_path: Path) -> None:
    overrides = ("training.max_epochs=80", "training.patience=80")
    given = flow.write_config(flow.data(), "mf", overrides)
    words = [sys.executable, "-m", "graphrec", "run", str(given), "--out", str(tmp_path / "out")]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = {each.pid: each.communicate(timeout=300)[1] for each in both}
    codes = {each.pid: each.returncode for each in both}
    assert sorted(codes.values()) == [0, 2], told
    winner, loser = sorted(codes, key=lambda pid: codes[pid])
    found = re.search(rf"in use by process {winner} on|already holds a run", told[loser])
    assert found, told[loser]
    same(tmp_path / "out", flow.finished("mf", *overrides))
    assert not (tmp_path / "out" / CLAIM).exists()


def test_a_worker_stops_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    """It would go on in folders that the next process takes for its own."""
    worker = "import time; from graphrec.core.processes import stoppable\nwith stoppable():\n"
    worker += f"    open({str(tmp_path / 'ready')!r}, 'w').close()\n    time.sleep(600)"
    parent = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {worker!r}],"
        f" env={{**os.environ, {PARENT!r}: str(os.getpid())}})\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    wait_until((tmp_path / "ready").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not runs(pid))


def runs(pid: int) -> bool:
    """Whether a process is there and no mere entry that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_commands_in_one_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = flow.write_config(flow.data(), "popular")
    monkeypatch.setattr("graphrec.cli.runs.datetime", Stopped)
    for _ in range(3):
        answer = flow.graphrec("run", given)
        assert answer.code == 0, answer.err
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 3


class Stopped:
    """A clock that stands still."""

    @classmethod
    def now(cls) -> "Stopped":
        return cls()

    def strftime(self, form: str) -> str:
        return "20260101-000000"
