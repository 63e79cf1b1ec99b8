import logging
import multiprocessing
import multiprocessing.synchronize
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from graphrec.core.digest import digest
from graphrec.core.errors import DataError
from graphrec.features.content import store as store_module
from graphrec.features.content.store import RowStore, Store

F32 = np.float32
IDENTITY = {"encoder": "hf:tiny", "layer": -1}


def open_shelf(root: Path, dtype: str = "float32", *, strict: bool = False) -> RowStore:
    return Store(root).open("text", IDENTITY, dtype, strict=strict)


def keys(*names: str) -> pl.Series:
    return pl.Series([name * 64 for name in names])


def rows(*values: float) -> np.ndarray:
    return np.array([[value, -value] for value in values], dtype=np.float32)


def read(row_store: RowStore, wanted: pl.Series) -> np.ndarray:
    """The rows of all keys, in their order."""
    parts = list(row_store.blocks(wanted))
    values = np.empty((len(wanted), parts[0][1].shape[1]), parts[0][1].dtype)
    for places, block in parts:
        values[places] = block
    return values


def filled(root: Path, dtype: str = "float32") -> RowStore:
    row_store = open_shelf(root, dtype)
    with row_store.writing():
        row_store.add(keys("a", "b"), rows(1, 2))
    return row_store


def test_rows_come_back_by_content_in_the_order_asked_for(tmp_path):
    filled(tmp_path)
    again = open_shelf(tmp_path)
    assert again.new(keys("b", "c", "a")).tolist() == [False, True, False]
    assert read(again, keys("b", "a", "b")).tolist() == [[2, -2], [1, -1], [2, -2]]


def test_rows_of_several_shards_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_ROWS", 1)
    row_store = filled(tmp_path)
    with row_store.writing():
        row_store.add(keys("c"), rows(3))
    assert len(list(row_store.folder.glob("*.safetensors"))) == 2
    assert read(open_shelf(tmp_path), keys("c", "a")).tolist() == [[3, -3], [1, -1]]


def test_one_row_can_be_looked_up(tmp_path):
    assert open_shelf(tmp_path).width is None
    filled(tmp_path, "float16")
    row_store = open_shelf(tmp_path, "float16")
    assert row_store.width == 2
    assert row_store.row("c" * 64) is None
    found = row_store.row("b" * 64)
    assert found is not None
    assert found.tolist() == [2, -2]
    assert found.dtype == np.float32


def test_the_folder_is_named_by_kind_and_identity_and_has_a_manifest(tmp_path):
    row_store = filled(tmp_path)
    assert row_store.folder.parent == tmp_path / "text"
    assert len(row_store.folder.name) == 16
    manifest = (row_store.folder / "manifest.json").read_text()
    for word in ('"encoder": "hf:tiny"', '"dtype": "float32"', '"width": 2'):
        assert word in manifest


def test_another_setting_is_another_shelf(tmp_path):
    filled(tmp_path)
    other = Store(tmp_path).open("text", {**IDENTITY, "layer": -2}, strict=False)
    assert other.new(keys("a")).all()
    assert open_shelf(tmp_path, "float16").new(keys("a")).all()


def test_the_header_of_a_shard_names_the_content_of_every_row(tmp_path):
    (path,) = filled(tmp_path).folder.glob("*.safetensors")
    with safe_open(path, framework="np") as file:
        assert file.metadata()["keys"].split(" ") == keys("a", "b").to_list()


def test_float16_halves_the_rows_on_disk_and_comes_back_as_float32(tmp_path):
    row_store = filled(tmp_path, "float16")
    (path,) = row_store.folder.glob("*.safetensors")
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("rows").dtype == np.float16
    assert read(open_shelf(tmp_path, "float16"), keys("a")).dtype == np.float32


def test_an_interrupted_run_keeps_what_was_added(tmp_path):
    row_store = open_shelf(tmp_path)
    with pytest.raises(KeyboardInterrupt), row_store.writing():
        row_store.add(keys("a"), rows(1))
        raise KeyboardInterrupt
    assert read(open_shelf(tmp_path), keys("a")).tolist() == [[1, -1]]


def write_all(root: Path) -> None:
    """Write six rows, one per shard."""
    store_module.SHARD_ROWS = 1
    row_store = open_shelf(root)
    with row_store.writing():
        for number, name in enumerate("abcdef"):
            row_store.add(keys(name), rows(number))


def test_two_processes_on_one_store_need_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_all, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    expected = [[float(number), -float(number)] for number in range(6)]
    assert read(open_shelf(tmp_path, strict=True), keys(*"abcdef")).tolist() == expected


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_shard_is_named_and_its_rows_are_new_again(tmp_path, caplog, damage):
    (path,) = filled(tmp_path).folder.glob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[:-3], "flip": content[:-1] + b"\x01", "foreign": b"no shard"}[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert open_shelf(tmp_path).new(keys("a", "b")).all()
    assert f"{path} is damaged and ignored" in caplog.text
    with pytest.raises(DataError, match=rf"{path.name} is damaged.*Delete it"):
        open_shelf(tmp_path, strict=True)


@pytest.mark.parametrize(
    "strange",
    [
        np.array(1.0, F32),
        np.ones(2, F32),
        np.ones((2, 3), F32),
        np.ones((2, 2)),
        np.ones((1, 2), F32),
    ],
    ids=["scalar", "vector", "wider", "float64", "fewer"],
)
def test_a_shard_of_other_rows_is_damaged_though_its_checksum_is_right(tmp_path, caplog, strange):
    folder = filled(tmp_path).folder
    header = {"keys": " ".join(keys("x", "y")), "sha256": digest(strange)}
    (folder / "zz.safetensors").write_bytes(save({"rows": strange}, metadata=header))
    with caplog.at_level(logging.WARNING):
        assert open_shelf(tmp_path).new(keys("x", "y")).all()
    assert "zz.safetensors is damaged and ignored" in caplog.text


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"Cannot write the store .*/file/text/\w+: .* Set store in"
    ):
        open_shelf(tmp_path / "file").require_writable()
    row_store = open_shelf(tmp_path / "new")
    row_store.require_writable()
    assert list(row_store.folder.iterdir()) == []


def test_a_full_disk_is_a_data_error_and_keeps_the_shards_before_it(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    filled(tmp_path)
    monkeypatch.setattr("os.fsync", full)
    row_store = open_shelf(tmp_path)
    with pytest.raises(DataError, match="No space left on device"), row_store.writing():
        row_store.add(keys("c"), rows(3))
    assert open_shelf(tmp_path, strict=True).new(keys("a", "b", "c")).tolist() == [
        *(False, False),
        True,
    ]
    assert len(list(row_store.folder.iterdir())) == 2  # the manifest and the shard before


def encode_slowly(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    """Add one row after the other, a shard for each, and never end."""
    store_module.SHARD_ROWS = 1
    row_store = open_shelf(root)
    with row_store.writing():
        for number, name in enumerate("abcdef"):
            row_store.add(keys(name), rows(number))
            if name == "c":
                ready.set()
                signal.pause()


def test_a_killed_process_leaves_whole_shards_and_another_goes_on(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=encode_slowly, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    process.kill()
    process.join()
    row_store = open_shelf(tmp_path, strict=True)
    assert row_store.new(keys(*"abcdef")).tolist() == [False, False, False, True, True, True]
    with row_store.writing():
        row_store.add(keys(*"def"), rows(3, 4, 5))
    expected = [[float(number), -float(number)] for number in range(6)]
    assert read(open_shelf(tmp_path, strict=True), keys(*"abcdef")).tolist() == expected


def test_a_slow_encoder_writes_before_a_shard_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_SECONDS", 0.0)
    row_store = open_shelf(tmp_path)
    with row_store.writing():
        row_store.add(keys("a"), rows(1))
        assert not open_shelf(tmp_path).new(keys("a")).any()
