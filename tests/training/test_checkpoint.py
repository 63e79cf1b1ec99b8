"""Checkpoints: round trip, and every kind of damage is found."""

import errno
import json
import os
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from graphrec import DataError, TrainingError
from graphrec.models import Model
from graphrec.training import Checkpoint, read_checkpoint, restore_weights, write_checkpoint
from graphrec.training.checkpoint import _digest

TENSORS = {
    "model.w": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "model.flag": torch.tensor([True, False]),
    "optimizer.0.step": torch.tensor(3.0),
    "best.w": torch.full((2, 3), 0.1, dtype=torch.float64),
}
STATE = {"identity": {"config": "abc"}, "result": {"best_score": 0.1 + 0.2, "history": [{"a": 1}]}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "c.safetensors", Checkpoint(TENSORS, STATE))
    return tmp_path / "c.safetensors"


def header_of(path: Path) -> tuple[dict[str, object], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(path: Path, header: dict[str, object], body: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_round_trip_is_exact(path: Path) -> None:
    read = read_checkpoint(path)
    assert read.state == STATE
    assert read.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert read.tensors[name].shape == tensor.shape
        assert torch.equal(read.tensors[name], tensor)


def test_group_takes_one_prefix_off(path: Path) -> None:
    assert set(read_checkpoint(path).group("model")) == {"w", "flag"}
    assert set(read_checkpoint(path).group("optimizer")) == {"0.step"}
    assert read_checkpoint(path).group("mod") == {}


def test_strided_tensors_are_saved_as_they_look(tmp_path: Path) -> None:
    turned = torch.arange(6.0).reshape(2, 3).T
    write_checkpoint(tmp_path / "c", Checkpoint({"w": turned}, {}))
    assert torch.equal(read_checkpoint(tmp_path / "c").tensors["w"], turned)


def test_the_file_is_no_pickle(path: Path) -> None:
    header, _ = header_of(path)
    assert set(header) == {"__metadata__", *TENSORS}


def test_a_missing_checkpoint_says_to_start_without_resume(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No checkpoint at .*none.*without --resume"):
        read_checkpoint(tmp_path / "none")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, -1])
def test_a_truncated_file_is_damaged(kept: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TrainingError, match=r"c\.safetensors is damaged .*Delete it"):
        read_checkpoint(path)


def test_a_file_of_something_else_is_damaged(path: Path) -> None:
    path.write_bytes(b"not a checkpoint at all, but long enough to hold a header")
    with pytest.raises(TrainingError, match="is damaged"):
        read_checkpoint(path)


def test_a_folder_in_its_place_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is damaged"):
        read_checkpoint(tmp_path)


def test_every_flipped_byte_of_the_tensors_is_found(path: Path) -> None:
    content = path.read_bytes()
    _, body = header_of(path)
    for position in range(len(content) - len(body), len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(TrainingError, match=r"changed after it was written|damaged"):
            read_checkpoint(path)


@pytest.mark.parametrize("old, new", [('"config": "abc"', '"config": "abd"'), ("0.300", "0.400")])
def test_an_edited_state_is_found(old: str, new: str, path: Path) -> None:
    header, body = header_of(path)
    metadata = header["__metadata__"]
    assert isinstance(metadata, dict)
    assert old in metadata["state"]
    metadata["state"] = metadata["state"].replace(old, new)
    write_header(path, header, body)
    with pytest.raises(TrainingError, match="changed after it was written"):
        read_checkpoint(path)


def test_an_edited_shape_is_found(path: Path) -> None:
    header, body = header_of(path)
    entry = header["model.w"]
    assert isinstance(entry, dict)
    entry["shape"] = [3, 2]
    write_header(path, header, body)
    with pytest.raises(TrainingError, match="changed after it was written"):
        read_checkpoint(path)


def test_swapped_tensors_are_found(path: Path) -> None:
    header, body = header_of(path)
    header["model.w"], header["other.w"] = header.pop("best.w"), header["model.w"]
    write_header(path, header, body)
    with pytest.raises(TrainingError, match="changed after it was written"):
        read_checkpoint(path)


def test_a_file_without_our_metadata_is_refused(path: Path) -> None:
    header, body = header_of(path)
    del header["__metadata__"]
    write_header(path, header, body)
    with pytest.raises(TrainingError, match="changed after it was written"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_run_names_what_differs(path: Path) -> None:
    assert read_checkpoint(path, {"config": "abc"}).state == STATE
    with pytest.raises(TrainingError, match="belongs to another run: config, split differ"):
        read_checkpoint(path, {"config": "xyz", "split": "1"})


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    where: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.read_bytes()
    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(Path, "open", full)
        elif where == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "replace", full)
        with pytest.raises(DataError, match=r"c\.safetensors: No space left.*Free some space"):
            write_checkpoint(path, Checkpoint({"model.w": torch.zeros(9)}, {}))
    assert [entry.name for entry in path.parent.iterdir()] == ["c.safetensors"]
    assert path.read_bytes() == before


def write_with_state(path: Path, state: str) -> None:
    """A file whose hash is right, whatever its state is."""
    tensors = {"model.x": torch.ones(2)}
    metadata = {"state": state, "sha256": _digest(tensors, state)}
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))


@pytest.mark.parametrize(
    "state", ["", "{not json", "[" * 5000, '{"a":' * 3000, "[]", "null", "1", '"x"', "\x00"]
)
def test_a_state_that_is_no_table_is_damaged_though_its_hash_is_right(
    state: str, tmp_path: Path
) -> None:
    write_with_state(tmp_path / "c", state)
    with pytest.raises(TrainingError, match=r"c is damaged .*Delete it"):
        read_checkpoint(tmp_path / "c")


def test_types_that_numpy_does_not_know_are_damage(tmp_path: Path) -> None:
    """bfloat16 is never written, and the hash of its bytes cannot be computed by numpy."""
    tensors = {"x": torch.ones(2, dtype=torch.bfloat16)}
    content = safetensors.torch.save(tensors, metadata={"state": "{}", "sha256": "x"})
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(TrainingError, match="is damaged"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("length", [2**63 - 1, 2**40, 0])
def test_a_header_of_impossible_length_is_damaged(length: int, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(TrainingError, match="is damaged"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("weights", [{}, {"other": torch.ones(2)}, {"w": torch.ones(3)}])
def test_weights_of_another_model_are_refused(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    class Small(Model):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.w = torch.nn.Parameter(torch.zeros(2))

        def scorer(self):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    with pytest.raises(TrainingError, match="its weights are not those of the model"):
        restore_weights(Small(), weights, tmp_path / "c")
