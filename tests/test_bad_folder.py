"""Run folders and disks that cannot be used: exit code 2, one paragraph, nothing half-written."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import flow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with its own data, which the test may spoil."""
    flow.write_data(tmp_path)
    return tmp_path


# Run folders.


def spoilt(folder: Path, change: Callable[[Path], None]) -> Path:
    """A finished run whose folder has been changed."""
    config = folder / "config.json"
    config.write_text(json.dumps(flow.table_of(folder)))
    assert flow.graphrec("run", config, "--out", folder / "out").code == 0
    change(folder / "out")
    return folder / "out"


def test_a_used_folder_is_refused_and_stays_as_it_is(folder: Path) -> None:
    out = spoilt(folder, lambda run: None)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = flow.refusal(flow.graphrec("run", folder / "config.json", "--out", out))
    assert f"{out} already holds a run" in message
    assert "--resume" in message
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    config = flow.write_config(flow.data(), "popular")
    (folder / "out").write_text("mine")
    message = flow.refusal(flow.graphrec("run", config, "--out", folder / "out"))
    assert str(folder / "out") in message
    assert (folder / "out").read_text() == "mine"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_a_tampered_checkpoint_is_refused(folder: Path) -> None:
    out = spoilt(folder, lambda run: flip(run / "checkpoint.safetensors"))
    message = flow.refusal(flow.graphrec("recommend", out, "--user", "u01"))
    assert "checkpoint.safetensors was changed after it was written" in message
    assert "Delete it" in message


def test_the_checkpoint_of_another_run_is_refused(folder: Path) -> None:
    other = flow.finished("modality_attention_gcn", "run.seed=5") / "checkpoint.safetensors"
    out = spoilt(folder, lambda r: (r / other.name).write_bytes(other.read_bytes()) and None)
    message = flow.refusal(flow.graphrec("recommend", out, "--user", "u01"))
    assert "belongs to another run: config differ" in message


def test_an_edited_config_json_is_refused(folder: Path) -> None:
    out = spoilt(folder, lambda run: flow.replace(run / "config.json", '"dim": 8', '"dim": 4'))
    message = flow.refusal(flow.graphrec("recommend", out, "--user", "u01"))
    assert "config.json has changed since the run" in message


def test_data_that_changed_since_the_run_are_refused(folder: Path) -> None:
    out = spoilt(folder, lambda run: None)
    flow.replace(folder / "items.csv", "garden", "forest")
    message = flow.refusal(flow.graphrec("recommend", out, "--user", "u01"))
    assert "The features of" in message
    assert "run again" in message


def test_an_unknown_user_is_refused_with_the_nearest(folder: Path) -> None:
    run = flow.finished()
    message = flow.refusal(flow.graphrec("recommend", run, "--user", "u01", "--user", "u1"))
    assert "Unknown user 'u1'" in message
    assert "Did you mean 'u" in message


@pytest.mark.parametrize("k", ["0", "-1", "19"])
def test_a_list_that_cannot_be_is_refused(k: str) -> None:
    message = flow.refusal(flow.graphrec("recommend", flow.finished(), "--user", "u01", "--k", k))
    assert k in message
    assert "18" in message


@pytest.mark.parametrize("command", [("recommend", "--user", "u01"), ("report",)])
def test_a_folder_that_is_no_finished_run_is_refused(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    name, *more = command
    assert "no result.json" in flow.refusal(flow.graphrec(name, tmp_path, *more))
    assert "no run folder" in flow.refusal(flow.graphrec(name, flow.data() / "pairs.csv", *more))


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("{", "malformed"),
        ("[]", "malformed"),
        ("{}", "malformed"),
        ('{"schema_version": 99}', "99"),
        ('{"schema_version": 1}', "malformed"),
    ],
)
def test_a_result_that_cannot_be_read_is_refused(text: str, culprit: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    message = flow.refusal(flow.graphrec("report", tmp_path))
    assert "result.json" in message
    assert culprit in message


# The disk.


@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "checkpoint.safetensors"])
def test_a_full_disk_is_named_and_leaves_no_half_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = flow.write_config(flow.data(), "mf")
    real = Path.open

    def full(path: Path, mode: str = "r", *more: object, **named: object) -> object:
        if name in path.name and mode != "r":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", full)
    message = flow.refusal(flow.graphrec("run", config, "--out", tmp_path / "out"))
    assert f"Cannot write {tmp_path / 'out' / name}: No space left on device" in message
    assert "Free some space" in message
    assert not (tmp_path / "out" / name).exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("name", ["recommendations.parquet", "result.json"])
def test_a_disk_that_is_full_at_the_end_can_be_cleared_and_the_run_resumed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = flow.write_config(flow.data(), "mf")
    real = os.fsync
    writing: list[Path] = []
    replaced = Path.replace

    def remember(path: Path, target: Path) -> Path:
        writing.append(target)
        return replaced(path, target)

    def full(descriptor: int) -> None:
        if (
            any(path.name == "checkpoint.safetensors" for path in writing)
            and len([path for path in writing if path.name.endswith("parquet")])
            >= {"recommendations.parquet": 1, "result.json": 2}[name]
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(Path, "replace", remember)
        message = flow.refusal(flow.graphrec("run", config, "--out", out))
    assert f"{out / name}: No space left on device" in message
    assert not (out / "result.json").exists()
    answer = flow.graphrec("run", config, "--out", out, "--resume", "--json")
    assert answer.code == 0, answer.err


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, so the refusal of the system is played."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    config = flow.write_config(flow.data(), "popular")
    monkeypatch.setattr(Path, "mkdir", read_only)
    message = flow.refusal(flow.graphrec("run", config, "--out", tmp_path / "out"))
    assert "Read-only file system" in message
    assert "--out" in message
    assert not (tmp_path / "out").exists()
