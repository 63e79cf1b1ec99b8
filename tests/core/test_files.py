"""Files are wholly written or not at all."""

import errno
import json
import os
from pathlib import Path

import polars as pl
import pytest

from graphrec import DataError
from graphrec.core.files import read_parquet, write_bytes, write_json, write_parquet


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_bytes_are_written_through_new_folders(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a/b/c.bin", b"\x00\xff")
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"\x00\xff"
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["c.bin"]


def test_an_old_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_bytes(tmp_path / "c.bin", b"a long content")
    write_bytes(tmp_path / "c.bin", b"short")
    assert (tmp_path / "c.bin").read_bytes() == b"short"


@pytest.mark.parametrize("name", ["open", "replace"])
def test_a_full_disk_leaves_the_old_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "c.bin", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, name, full)
        with pytest.raises(DataError, match=r"c\.bin: No space left on device.*Free some space"):
            write_bytes(tmp_path / "c.bin", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_the_content_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, rename = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        order.append("fsync")
        sync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        assert path.read_bytes() == b"new"
        assert path.parent == target.parent
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    write_bytes(tmp_path / "c.bin", b"new")
    assert order == ["fsync", "rename"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(DataError, match=r"Cannot write .*c\.bin"):
        write_bytes(tmp_path / "a/c.bin", b"new")
    assert (tmp_path / "a").read_text() == "mine"


def test_json_is_exact_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 0.1 + 0.2, "y": [1, None, True]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 0.1 + 0.2, "y": [1, None, True]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_parquet_comes_back(tmp_path: Path) -> None:
    table = pl.DataFrame({"user": ["a", "b"], "score": [0.5, 1.0]})
    write_parquet(tmp_path / "a.parquet", table)
    assert pl.read_parquet(tmp_path / "a.parquet").equals(table)


@pytest.mark.parametrize("kept", [0, 4, 40, -9])
def test_a_damaged_table_is_one_sentence_with_the_remedy(kept: int, tmp_path: Path) -> None:
    """A study of variants reads per_user.parquet of every run, one of which may be cut."""
    path = tmp_path / "t.parquet"
    write_parquet(path, pl.DataFrame({"user": ["a"], "ndcg@5": [0.5]}))
    assert read_parquet(path, ["user"], "").columns == ["user", "ndcg@5"]
    with pytest.raises(DataError, match=r"t\.parquet is damaged: .*recall.* Run again\."):
        read_parquet(path, ["recall@5"], "Run again.")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"t\.parquet is damaged: .* Run again\."):
        read_parquet(path, ["user"], "Run again.")
    path.unlink()
    with pytest.raises(DataError, match=r"t\.parquet is missing\. Run again\."):
        read_parquet(path, ["user"], "Run again.")
