"""Neighbours that others computed, as a modality of a run."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec import build_config, run
from graphrec.core.errors import DataError
from graphrec.features.tabular.neighbours import NeighbourConfig, NeighbourEncoder
from tests import flow

IDS = pl.Series(["a", "b", "c"])


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    np.savez(
        tmp_path / "knn.npz",
        image_nbr=np.array([[0, 1], [1, 0], [-1, -1]], dtype=np.int32),
        image_cos=np.array([[1, 0.5], [1, 0.5], [0, 0]], dtype=np.float32),
    )
    (tmp_path / "ids.tsv").write_text("id\trow\na\t0\nb\t1\nc\t2\n")
    return tmp_path


def test_lists_are_a_modality_without_values(lists):
    config = NeighbourConfig(path=lists / "knn.npz", array="image", ids=lists / "ids.tsv")
    found = NeighbourEncoder(config).encode(None, IDS)
    assert found.values.shape == (3, 0)
    assert found.present.tolist() == [True, True, False]
    assert found.neighbours.items[:, 0].tolist() == [1, 0, -1]


def test_other_lists_have_another_fingerprint(lists):
    config = NeighbourConfig(path=lists / "knn.npz", array="image", ids=lists / "ids.tsv")
    first = NeighbourEncoder(config).encode(None, IDS)
    again = NeighbourEncoder(config).encode(None, pl.Series(["a", "c", "b"]))
    assert first.fingerprint == NeighbourEncoder(config).encode(None, IDS).fingerprint
    assert first.fingerprint != again.fingerprint


def test_an_absent_array_is_named(lists):
    config = NeighbourConfig(path=lists / "knn.npz", array="imag", ids=lists / "ids.tsv")
    with pytest.raises(DataError, match=r"no array 'imag_nbr'\. Did you mean 'image_nbr'"):
        NeighbourEncoder(config).encode(None, IDS)


def test_a_run_with_lists_and_text_trains_and_recommends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    others = [rng.permutation(np.delete(np.arange(18), item))[:4] for item in range(18)]
    cosines = -np.sort(-rng.random((18, 4)).astype(np.float32), axis=1)
    np.savez(tmp_path / "knn.npz", image_nbr=np.array(others, np.int32), image_cos=cosines)
    ids = "".join(f"i{item:02}\t{item}\n" for item in range(18))
    (tmp_path / "ids.tsv").write_text("id\trow\n" + ids)
    table = flow.table_of(flow.data())
    table["features"] |= {
        "image": {
            "encoder": "neighbours",
            "path": str(tmp_path / "knn.npz"),
            "array": "image",
            "ids": str(tmp_path / "ids.tsv"),
        }
    }
    settings = ["model.item_layers=1", "model.knn_k=3"]
    result = run(build_config(table, settings), tmp_path / "run")
    assert result.metrics["test"]["ndcg@5"] > 0
    assert len(list((tmp_path / "data" / "processed" / "graphs").iterdir())) == 1  # of the text
