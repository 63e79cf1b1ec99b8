"""Each mistake of a user ends with exit code 2 and one paragraph that names culprit and remedy.

All tests speak to the command line, and look that nothing half-written stays.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests import flow
from tests.flow import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with its own data, which the test may spoil."""
    flow.write_data(tmp_path)
    return tmp_path


def attempt(folder: Path, table: Table, *overrides: str) -> str:
    """Run a configuration that must be refused, and return the one paragraph about it."""
    config = folder / "config.json"
    config.write_text(json.dumps(table))
    answer = flow.graphrec("run", config, *overrides, "--out", folder / "out")
    assert not (folder / "out").exists()
    return flow.refusal(answer)


def section(table: Table, name: str) -> Table:
    found = table[name]
    assert isinstance(found, dict)
    return found


def test_the_table_that_is_spoilt_below_is_sound(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(flow.table_of(folder)))
    answer = flow.graphrec("run", config, "--out", folder / "out", "--json")
    assert answer.code == 0, answer.err


# Names.


@pytest.mark.parametrize(
    ("override", "culprit", "remedy"),
    [
        ("training.learning_rat=1", "training.learning_rat", "Known: lr,"),
        ("training.batchsize=1", "training.batchsize", "'batch_size'"),
        ("trainig.lr=1", "trainig", "'training'"),
        ("model.num_layer=1", "model.num_layer", "'num_layers'"),
        ("features.text.column=1", "features.text.column", "'columns'"),
        ("data.clean.kcore=1", "data.clean.kcore", "'k_core'"),
        ('data.clean.rules=[{colum = "x"}]', "data.clean.rules.0.colum", "'column'"),
        ('paper.tabel="3"', "paper.tabel", "'table'"),
        ("search.lr.lwo=1", "search.lr.lwo", "'low'"),
        ("model.name=lihgtgcn", "lihgtgcn", "'lightgcn'"),
        ("model.name=nobody:Model", "nobody:Model", "Cannot import"),
        ("evaluation.protocol=recbol", "recbol", "'recbole'"),
        ('evaluation.metrics=["recal"]', "recal", "'recall'"),
        ('evaluation.metrics=["recall@x"]', "recall@x", "'recall@20'"),
        ("evaluation.valid_metric=ndgc@5", "ndgc@5", "'ndcg'"),
        ("evaluation.valid_metric=ndcg", "ndcg", "'ndcg@20'"),
        ("evaluation.valid_metric=gini@5", "gini@5", "accuracy metric"),
        ('evaluation.baselines=["popluar"]', "popluar", "'popular'"),
        ("features.text.encoder=tfid", "tfid", "'tfidf'"),
        ("model.fusion=attenton", "attenton", "'attention'"),
        ("run.backend=torhc", "run.backend", "'torch'"),
        ("split.kind=randm", "split.kind", "'random'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    override: str, culprit: str, remedy: str, folder: Path
) -> None:
    message = attempt(folder, flow.table_of(folder), override)
    assert culprit in message
    assert remedy in message


def test_an_unknown_data_set_is_refused_with_the_nearest_known_one(folder: Path) -> None:
    table = flow.table_of(folder, "popular") | {"data": {"name": "gowala"}}
    assert "Unknown data set 'gowala'. Did you mean 'gowalla'?" in attempt(folder, table)


def test_a_table_without_its_name_is_refused(folder: Path) -> None:
    table = flow.table_of(folder)
    del section(table, "model")["name"]
    assert "[model] needs name" in attempt(folder, table)


# Values.


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ("training.lr=0", "training.lr"),
        ("training.lr=fast", "training.lr"),
        ("training.batch_size=1.5", "training.batch_size"),
        ("training.max_epochs=-3", "training.max_epochs"),
        ("training.decay=1.5", "training.decay"),
        ("model.dim=0", "model.dim"),
        ("model.dropout=1.0", "model.dropout"),
        ("split.ratios=[0.5, 0.1, 0.1]", "split.ratios"),
        ("evaluation.top_k=[]", "evaluation.top_k"),
        ("evaluation.top_k=[0]", "evaluation.top_k"),
        ("run.seed=one", "run.seed"),
        ("model=3", "model"),
        ("data.path=7", "data.path"),
    ],
)
def test_a_value_out_of_range_names_its_key(override: str, culprit: str, folder: Path) -> None:
    assert culprit in attempt(folder, flow.table_of(folder), override)


@pytest.mark.parametrize("device", ["nonsense", "mps", "cuda:99", "cpu:x", "", "CUDA"])
def test_a_device_that_is_none_is_refused(device: str, folder: Path) -> None:
    message = attempt(folder, flow.table_of(folder), f'run.device="{device}"')
    assert f"run.device = {device!r}" in message
    assert "cpu" in message


@pytest.mark.parametrize("override", ["nothing", "=3", "training"])
def test_an_override_without_value_is_refused(override: str, folder: Path) -> None:
    assert "not of the form key=value" in attempt(folder, flow.table_of(folder), override)


def test_an_override_below_a_value_is_refused(folder: Path) -> None:
    message = attempt(folder, flow.table_of(folder), "training.lr.low=3")
    assert "training.lr is a value, not a table" in message


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("evaluation.top_k=[3, 19]", "Lower"),
        ('evaluation.metrics=["recall@19"]', "Lower"),
        ("evaluation.valid_metric=recall@19", "Lower"),
        ("run.recommend_k=19", "Lower"),
    ],
)
def test_a_cut_off_larger_than_the_catalogue_is_refused(
    override: str, remedy: str, folder: Path
) -> None:
    message = attempt(folder, flow.table_of(folder), override)
    assert override.partition("=")[0] in message
    assert "19 items, but the catalogue has 18" in message
    assert remedy in message


@pytest.mark.parametrize(
    ("table", "culprit"),
    [
        ({"model.dim": {"low": 0, "high": 8}}, "model.dim = 0"),
        ({"training.lr": {"choices": [0.1, "fast"]}}, "training.lr = 'fast'"),
        ({"model.dimm": {"low": 1, "high": 8}}, "model.dimm"),
        ({"training.lr": {"low": 2, "high": 1}}, "low must be below high"),
        ({"training.lr": {"low": 0, "high": 1, "log": True}}, "log range must stay above 0"),
        ({"training.lr": {"low": 1}}, "either low and high, or choices"),
    ],
)
def test_a_search_range_with_an_invalid_end_is_refused(
    table: Table, culprit: str, folder: Path
) -> None:
    message = attempt(folder, flow.table_of(folder) | {"search": table})
    assert "search" in message
    assert culprit in message


def test_features_for_a_model_that_reads_none_are_refused(folder: Path) -> None:
    table = flow.table_of(folder) | {"model": {"name": "mf"}}
    message = attempt(folder, table)
    assert "'mf' reads no features" in message
    assert "[features.text]" in message
    assert "Remove the table" in message


def test_user_features_for_a_model_that_reads_none_are_refused(folder: Path) -> None:
    table = flow.table_of(folder, "mf")
    message = attempt(folder, table, "user_features.stats.encoder=interactions")
    assert "'mf' reads no features of users" in message
    assert "[user_features.stats]" in message
    assert "modality_attention_gcn" in message


def test_an_encoder_of_items_is_refused_for_users(folder: Path) -> None:
    table = flow.table_of(folder) | {"user_features": {"x": {"encoder": "file", "path": "a.npy"}}}
    message = attempt(folder, table)
    assert "'file' describes items" in message
    assert "user_features" in message
    assert "interactions" in message
    assert "user_features.x.dim" in attempt(
        folder,
        flow.table_of(folder),
        "user_features.x.encoder=interactions",
        "user_features.x.dim=3",
    )


def test_a_published_number_that_is_not_measured_is_refused(folder: Path) -> None:
    table = flow.table_of(folder)
    table |= {"paper": {"key": "graphrec", "table": "1"}, "published": {"recall@4": 0.5}}
    message = attempt(folder, table)
    assert "'recall@4', which this run does not measure" in message
    assert "evaluation.top_k" in message


def test_bfloat16_on_cpu_is_refused(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(flow.table_of(folder)))
    answer = flow.graphrec("run", config, "training.precision=bfloat16", "--out", folder / "out")
    assert "training.precision = 'bfloat16' needs CUDA" in flow.refusal(answer)


# Configuration files.


@pytest.mark.parametrize(
    ("name", "text", "culprit"),
    [
        ("bad.toml", "[model\nname = 1", "line 1"),
        ("bad.toml", "[model]\nname = mf", "line 2"),
        ("bad.json", '{"model": ', "line 1"),
        ("bad.json", "[1, 2]", "holds no table"),
        ("empty.toml", "", "model"),
    ],
)
def test_a_malformed_configuration_names_file_and_place(
    name: str, text: str, culprit: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    message = flow.refusal(flow.graphrec("run", tmp_path / name, "--out", tmp_path / "out"))
    assert name in message
    assert culprit in message


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    message = flow.refusal(flow.graphrec("run", tmp_path / "none.toml"))
    assert "none.toml: No such file" in message


# Data.


def test_a_missing_column_is_named_with_the_nearest(folder: Path) -> None:
    message = attempt(folder, flow.table_of(folder), "data.user=whom")
    assert "pairs.csv has no column 'whom', which data.user asks for" in message
    assert "'who'" in message


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "pairs.csv").unlink()
    assert f"There is no file {folder / 'pairs.csv'}" in attempt(folder, flow.table_of(folder))


def test_a_time_that_is_no_number_names_file_row_and_value(folder: Path) -> None:
    lines = (folder / "pairs.csv").read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ",noon"
    (folder / "pairs.csv").write_text("\n".join(lines))
    message = attempt(folder, flow.table_of(folder))
    assert "pairs.csv, row 3: column 'when' holds 'noon'" in message
    assert "Repair" in message


def test_negative_internal_ids_are_refused_where_ids_are_declared(folder: Path) -> None:
    (folder / "pairs.csv").write_text("who,what,when\n0,0,1\n0,1,2\n0,2,3\n-1,2,3\n1,1,1\n")
    table = flow.table_of(folder, "popular")
    data = section(table, "data")
    del data["items"], data["items_id"], data["item_title"]
    message = attempt(folder, table, "data.num_users=2", "data.num_items=3")
    assert "user id '-1' is not one of 0..1" in message
    assert "data.num_users" in message


def test_a_pair_in_two_parts_is_named(folder: Path) -> None:
    table = flow.given_table(folder)
    with (folder / "test.csv").open("a") as file:
        file.write("u03,i04\n")
    message = attempt(folder, table)
    assert "(user 'u03', item 'i04') stands in both the train and the test part" in message
    assert "Remove" in message


def test_users_without_train_items_are_named(folder: Path) -> None:
    table = flow.given_table(folder)
    with (folder / "test.csv").open("a") as file:
        file.write("stranger,i04\n")
    message = attempt(folder, table)
    assert "1 users have valid or test items but none in train, first user 'stranger'" in message
    assert "split.cold_users" in message


def test_data_that_filters_leave_empty_name_the_filter(folder: Path) -> None:
    message = attempt(folder, flow.table_of(folder), "data.clean.k_core=50")
    assert "leaves none of 192 rows" in message
    assert "data.clean.k_core = 50" in message


def test_an_empty_file_is_refused(folder: Path) -> None:
    (folder / "pairs.csv").write_text("who,what,when\n")
    assert "no rows" in attempt(folder, flow.table_of(folder))


# Features.


def feature_table(folder: Path, values: npt.NDArray[np.float32]) -> Table:
    """With a matrix whose row r is item r."""
    np.save(folder / "image.npy", values)
    (folder / "ids.txt").write_text("\n".join(f"i{item:02}" for item in range(flow.NUM_ITEMS)))
    table = flow.table_of(folder)
    section(table, "features")["image"] = {
        "encoder": "file",
        "path": str(folder / "image.npy"),
        "ids": str(folder / "ids.txt"),
    }
    return table


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_name_modality_file_and_item(bad: float, folder: Path) -> None:
    values = np.ones((flow.NUM_ITEMS, 3), np.float32)
    values[5, 1] = bad
    message = attempt(folder, feature_table(folder, values))
    assert "[features.image]" in message
    assert "image.npy" in message
    assert "'i05'" in message
    assert "missing" in message


def test_features_that_do_not_match_the_items_name_both_counts(folder: Path) -> None:
    message = attempt(folder, feature_table(folder, np.ones((17, 3), np.float32)))
    assert "[features.image]" in message
    assert "image.npy" in message
    assert "17 rows" in message
    assert "18" in message


def test_a_text_column_that_is_absent_is_named(folder: Path) -> None:
    message = attempt(folder, flow.table_of(folder), 'features.text.columns=["txt"]')
    assert "[features.text]" in message
    assert "'txt'" in message
    assert "'text'" in message
