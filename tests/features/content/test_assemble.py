"""The matrix of a data set from stored rows, in memory or mapped."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.assemble import Blocks, Finish, assemble


def in_blocks(rows: np.ndarray, size: int, offset: int = 0) -> Blocks:
    """The rows of items ``offset``, ``offset + 1``, ... in blocks, the last one first."""

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in reversed(range(0, len(rows), size)):
            part = rows[start : start + size]
            yield offset + np.arange(start, start + len(part)), part

    return blocks


def finish(folder: Path, largest: int = 2**20, **settings: object) -> Finish:
    table = {"pca": None, "unit": False, "folder": folder, "name": "items-x", **settings}
    return Finish(largest=largest, **table)


ROWS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


def test_rows_go_to_their_items_and_the_others_are_zero(tmp_path):
    values, present, _ = assemble(in_blocks(ROWS, 7, offset=1), 22, finish(tmp_path))
    assert (values[1:21] == ROWS).all()
    assert not values[[0, 21]].any()
    assert present.tolist() == [False, *[True] * 20, False]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{}, {"largest": 100}, {"unit": True}])
def test_stored_rows_are_gone_through_once(tmp_path, settings):
    passes = []

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        passes.append(1)
        return in_blocks(ROWS, 7)()

    assemble(blocks, 20, finish(tmp_path, **settings))
    assert len(passes) == 1


def test_without_any_finite_row_principal_components_leave_nothing(tmp_path):
    rows = np.full((3, 2), np.nan, dtype=np.float32)
    values, present, counts = assemble(in_blocks(rows, 2), 3, finish(tmp_path, pca=1))
    assert not values.any()
    assert not present.any()
    assert counts.nan == 3


def test_odd_rows_are_counted_across_blocks_and_those_not_finite_left_out(tmp_path):
    rows = ROWS.copy()
    rows[3, 2], rows[4], rows[9], rows[15] = np.nan, 0, rows[1], rows[1]
    values, present, counts = assemble(in_blocks(rows, 4), 20, finish(tmp_path))
    assert (counts.nan, counts.zero, counts.duplicates) == (1, 1, 2)
    assert np.flatnonzero(~present).tolist() == [3]
    assert not values[3].any()


@pytest.mark.parametrize("settings", [{}, {"unit": True}, {"pca": 3, "unit": True}])
def test_a_large_matrix_is_mapped_and_equal(tmp_path, settings):
    expected, _, _ = assemble(in_blocks(ROWS, 7), 20, finish(tmp_path, **settings))
    mapped, _, _ = assemble(in_blocks(ROWS, 7), 20, finish(tmp_path, largest=100, **settings))
    assert isinstance(mapped, np.memmap)
    assert [path.name for path in tmp_path.iterdir()] == ["items-x.npy"]
    assert (mapped == expected).all()
    mapped[0] = 9  # private to this process
    assert (np.load(tmp_path / "items-x.npy") == expected).all()


def test_a_mapped_matrix_outlives_its_replacement(tmp_path):
    first, _, _ = assemble(in_blocks(ROWS, 7), 20, finish(tmp_path, largest=100))
    assemble(in_blocks(-ROWS, 7), 20, finish(tmp_path, largest=100))
    assert (first == ROWS).all()


def test_a_full_disk_is_a_data_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match=r"Cannot write .*items-x\.npy: No space left"):
        assemble(in_blocks(ROWS, 7), 20, finish(tmp_path, largest=100))
    assert not list(tmp_path.iterdir())


def test_principal_components_agree_with_a_singular_value_decomposition(tmp_path):
    centred = ROWS - ROWS.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    found, _, _ = assemble(in_blocks(ROWS, 7), 20, finish(tmp_path, pca=3))
    np.testing.assert_allclose(np.abs(found), np.abs((left * strength)[:, :3]), atol=1e-4)


def test_principal_components_use_finite_rows_only(tmp_path):
    rows = np.array([[0, 0], [np.inf, 0], [3, 4], [6, 8]], dtype=np.float32)
    found, _, _ = assemble(in_blocks(rows, 3), 4, finish(tmp_path, pca=1))
    np.testing.assert_allclose(found[:, 0], [-5, 0, 0, 5], atol=1e-6)


@pytest.mark.parametrize("dim", [3, 30])
def test_more_components_than_rows_or_columns_are_refused(tmp_path, dim):
    with pytest.raises(ConfigError, match=rf"pca = {dim}, but there are 5 items with 2 columns"):
        assemble(in_blocks(np.ones((5, 2), np.float32), 9), 5, finish(tmp_path, pca=dim))


def test_rows_of_length_zero_stay_zero(tmp_path):
    rows = np.array([[3, 4], [0, 0]], dtype=np.float32)
    values, present, _ = assemble(in_blocks(rows, 9), 2, finish(tmp_path, unit=True))
    np.testing.assert_allclose(values, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert present.all()
