"""A folder has one process at a time, and none that has ended keeps it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphrec import ConfigError, DataError
from graphrec.core import claim
from graphrec.core.claim import CLAIM, claimed
from graphrec.core.config import Json
from graphrec.core.processes import is_alive, is_here, this_process

HOLD = """
import sys, time
from pathlib import Path
from graphrec.core.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder until it is killed."""
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def sign(folder: Path, **changes: Json) -> None:
    """Leave a claim as another process would."""
    folder.mkdir(exist_ok=True)
    owner = this_process() | {"since": "2026-01-01"} | changes
    (folder / CLAIM).write_text(json.dumps(owner))


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(ConfigError, match=message), claimed(folder):
        pass


def test_a_folder_that_is_held_is_refused_and_its_holder_named(tmp_path: Path) -> None:
    host = str(this_process()["host"])
    with holder(tmp_path / "out") as process:
        refuse(tmp_path / "out", f"in use by process {process.pid} on {host} since 20.*another")
        assert (tmp_path / "out" / CLAIM).exists()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / CLAIM).exists()
        with claimed(tmp_path):
            owner = json.loads((tmp_path / CLAIM).read_text())
            assert owner["pid"] == os.getpid()
    assert not (tmp_path / CLAIM).exists()


def test_two_threads_of_one_process_are_two(tmp_path: Path) -> None:
    with claimed(tmp_path):
        refuse(tmp_path, f"process {os.getpid()}")
    with claimed(tmp_path):
        pass


def test_of_many_that_start_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    """It removes the file when done, and who has opened that one must not take it for the claim."""
    inside, most, wins = 0, 0, 0
    lock, barrier = threading.Lock(), threading.Barrier(8)

    def work() -> None:
        nonlocal inside, most, wins
        barrier.wait()
        for _ in range(100):
            try:
                with claimed(tmp_path / "out"):
                    with lock:
                        inside, wins = inside + 1, wins + 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
            except ConfigError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == 1
    assert wins >= 1


@pytest.mark.parametrize("left", ["", "{", "[]", "\0" * 20])
def test_a_kill_between_making_and_signing_leaves_no_claim(left: str, tmp_path: Path) -> None:
    (tmp_path / CLAIM).write_text(left)
    with claimed(tmp_path):
        assert json.loads((tmp_path / CLAIM).read_text())["pid"] == os.getpid()


def test_a_number_that_another_process_has_by_now_is_no_owner(tmp_path: Path) -> None:
    sign(tmp_path, pid=os.getppid(), ticks=1)
    with claimed(tmp_path):
        pass


def test_what_ran_before_the_machine_started_anew_is_over(tmp_path: Path) -> None:
    sign(tmp_path, boot="before")
    with claimed(tmp_path):
        pass


def test_a_container_that_got_another_name_is_the_same_machine(tmp_path: Path) -> None:
    if this_process()["boot"] is None:
        pytest.skip("this system does not tell its starts apart")
    sign(tmp_path, host="b0f5e7")
    with claimed(tmp_path):
        pass


def test_another_machine_is_believed(tmp_path: Path) -> None:
    """Not every file system carries locks from one machine to another."""
    sign(tmp_path, host="far", boot="another", pid=7)
    refuse(tmp_path, rf"process 7 on far since 2026-01-01.*remove .*{CLAIM}")
    (tmp_path / CLAIM).unlink()
    with claimed(tmp_path):
        pass


def test_without_locks_the_process_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "_lock", lambda descriptor: None)
    sign(tmp_path)
    refuse(tmp_path, f"process {os.getpid()}")
    sign(tmp_path, ticks=1)
    with claimed(tmp_path):
        assert json.loads((tmp_path / CLAIM).read_text()) != {}


def test_a_forked_child_does_not_end_the_claim_and_can_outlive_it(tmp_path: Path) -> None:
    with claimed(tmp_path):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        refuse(tmp_path, "in use")


def test_a_folder_that_was_made_and_stayed_empty_is_removed(tmp_path: Path) -> None:
    with claimed(tmp_path / "a/b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with claimed(tmp_path / "a/b"):
        (tmp_path / "a/b/mine").touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["mine"]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".checkpoint.safetensors.4711.part", ".mine.part", "notes.part"):
        (tmp_path / name).touch()
    with claimed(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".mine.part", "notes.part"}


def test_an_empty_folder_of_somebody_else_stays(tmp_path: Path) -> None:
    with claimed(tmp_path):
        pass
    assert tmp_path.exists()


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for folder in (tmp_path / "a", tmp_path / "a/b"):
        with pytest.raises(DataError, match=f"Cannot write {folder}.*--out"), claimed(folder):
            pass


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    own = this_process()
    assert is_here(own)
    assert is_alive(own)
    assert not is_alive(own | {"ticks": 1})
    assert not is_alive(own | {"boot": "before"})
    assert not is_alive(own | {"pid": -1})
    assert not is_here({"host": "far", "boot": "another"})
