"""Item vectors of a finished run, from its folder to the features of another one."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec import ConfigError, DataError, build_config, item_embeddings, read_result, run
from graphrec.experiment.load import load_run
from graphrec.features.tabular.matrices import FileConfig, FileEncoder
from graphrec.models import MODELS, VectorModel
from tests import flow

WITH_VECTORS = [name for name, model in MODELS.items() if issubclass(model, VectorModel)]
LEARNED = {"modality_attention_gcn": ("model.closed_form=none",)}
"""Settings under which scores are inner products, where the default adds others."""
WITHOUT_TEXT = "i04"


@pytest.mark.parametrize("model", WITH_VECTORS)
def test_they_give_the_scores_of_the_run(model: str) -> None:
    folder = flow.finished(model, *LEARNED.get(model, ()))
    table = item_embeddings(folder)
    prepared, fitted = load_run(folder)
    assert isinstance(fitted, VectorModel)
    users = fitted.vectors()[0].detach().numpy()
    stored = pl.read_parquet(folder / "recommendations.parquet")
    vectors = dict(table.iter_rows())
    place = {user: row for row, user in enumerate(prepared.dataset.user_ids)}
    for user, item, score in stored.head(20).select("user", "item", "score").iter_rows():
        if item in vectors:
            assert users[place[user]] @ np.array(vectors[item]) == pytest.approx(score, abs=1e-5)


def test_the_command_writes_what_the_file_encoder_reads(tmp_path: Path) -> None:
    folder, out = flow.finished("joint_embedding"), tmp_path / "joint.parquet"
    answer = flow.graphrec("embed", folder, "--out", out, "--json")
    assert json.loads(answer.out) == {"path": str(out), "items": 17, "dim": 8}
    prepared, fitted = load_run(folder)
    assert isinstance(fitted, VectorModel)
    ids = prepared.dataset.item_ids
    found = FileEncoder(FileConfig(path=out)).encode(None, ids)
    assert ids.filter(pl.Series(~found.present)).to_list() == [WITHOUT_TEXT]
    np.testing.assert_array_equal(found.values, fitted.vectors()[1].detach().numpy())


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    folder, out = flow.finished("mf"), tmp_path / "mf.parquet"
    answer = flow.graphrec("embed", folder, "--out", out)
    assert "18 items, 8 values each" in answer.out
    source = json.loads(pl.read_parquet_metadata(out)["graphrec"])
    result = read_result(folder)
    assert source == {"model": "mf", "config_hash": result.config_hash} | result.fingerprints


def test_the_flagship_runs_on_them(tmp_path: Path) -> None:
    out = tmp_path / "joint.parquet"
    flow.graphrec("embed", flow.finished("joint_embedding"), "--out", out)
    table = flow.table_of(flow.data())
    table["features"] = {"joint": {"encoder": "file", "path": str(out)}}
    result = run(build_config(table, ["model.use_id=false"]), tmp_path / "run")
    assert result.metrics["test"]["ndcg@5"] > 0


def test_cold_items_of_a_model_that_does_not_know_them_have_no_row(tmp_path: Path) -> None:
    run(build_config(flow.given_table(tmp_path, "mf")), tmp_path / "run")
    table = item_embeddings(tmp_path / "run")
    assert len(table) == 17
    assert "i17" not in table["id"]


def test_normalised_vectors_are_those_that_rank() -> None:
    table = item_embeddings(flow.finished("mf", "model.normalize=true"))
    lengths = np.linalg.norm(np.array(table["vector"].to_list()), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


@pytest.mark.parametrize("model", ["ease", "popular"])
def test_a_model_without_vectors_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{model}', which has no item vectors.*mf, lightgcn"):
        item_embeddings(flow.finished(model))


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    answer = flow.graphrec("embed", flow.finished("mf"), "--out", tmp_path / "mf.npz")
    assert "mf.npz must end in .parquet" in flow.refusal(answer)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"result\.json"):
        item_embeddings(tmp_path)
