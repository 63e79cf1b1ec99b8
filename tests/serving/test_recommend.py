"""Recommendations from a finished run."""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from graphrec import ConfigError, DataError, build_config, read_result, recommend, run
from graphrec.evaluation import PRESETS
from graphrec.models import MODELS
from tests import flow

COLUMNS = ["user", "item", "rank", "score"]


@pytest.mark.parametrize("model", MODELS)
def test_they_are_those_of_the_run(model: str) -> None:
    folder = flow.finished(model)
    stored = pl.read_parquet(folder / "recommendations.parquet").select(COLUMNS)
    users = ["u03", "u20", "u00"]
    found = recommend(folder, users, 5)
    assert found.columns == [*COLUMNS, "title"]
    for user in users:
        mine, wanted = (table.filter(user=user).drop("user") for table in (found, stored))
        assert mine.drop("title").equals(wanted)
    assert found["user"].unique(maintain_order=True).to_list() == users


@pytest.mark.parametrize("protocol", PRESETS)
@pytest.mark.parametrize("model", ["itemknn", "mf"])
def test_the_file_and_the_function_recommend_the_same_under_every_protocol(
    model: str, protocol: str
) -> None:
    """Protocols that mask train alone at test put valid items, which users have, into the file."""
    settings = (f"evaluation.protocol={protocol}", "evaluation.valid_metric=ndcg@5")
    folder = flow.finished(model, *settings)
    stored = pl.read_parquet(folder / "recommendations.parquet").select(COLUMNS)
    users = stored["user"].unique(maintain_order=True).to_list()
    assert recommend(folder, users, 5).select(COLUMNS).equals(stored)
    pairs = pl.read_csv(flow.data() / "pairs.csv").sort("who", "when")
    had = pairs.group_by("who", maintain_order=True).agg(pl.col("what").head(pl.len() - 1))
    seen = set(had.explode("what").rows())
    assert not seen & set(stored.select("user", "item").rows())
    for example in read_result(folder).examples:
        titles = {f"Title {int(item[1:])}" for user, item in seen if user == example.user}
        assert not titles & set(example.recommended)


def test_one_user_may_be_given_as_text() -> None:
    folder = flow.finished()
    assert recommend(folder, "u01", 3).equals(recommend(folder, ["u01"], 3))


def test_a_user_that_is_a_number_is_told_how_to_write_it() -> None:
    with pytest.raises(ConfigError, match=r"users holds 1, which is int.*as text: '1'"):
        recommend(flow.finished(), [1], 3)  # type: ignore[list-item]


@pytest.mark.parametrize("users", [None, 1, b"u01"])
def test_users_that_are_neither_text_nor_several_are_told_how_to_write_them(users: object) -> None:
    with pytest.raises(ConfigError, match=rf"users is {users!r}.*as text, as in 'u1' or \['u1'"):
        recommend(flow.finished(), users, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [0, 19])
def test_the_length_of_a_list_is_refused_by_its_own_name(k: int) -> None:
    """The message named evaluation.top_k and run.recommend_k, which have nothing to do with it."""
    with pytest.raises(ConfigError, match=rf"k = {k}, .*from 1 to 18") as error:
        recommend(flow.finished("popular"), "u01", k)
    assert "evaluation" not in str(error.value)


def test_an_unknown_user_is_refused_before_features_and_model_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = flow.finished()

    def heavy(*_: object) -> None:
        raise AssertionError("features or model were loaded")

    monkeypatch.setattr(sys.modules[recommend.__module__], "load_run", heavy)
    with pytest.raises(DataError, match="Unknown user 'u99'"):
        recommend(folder, ["u01", "u99"], 2)


def test_a_user_to_whom_nothing_was_left_to_recommend_is_known(tmp_path: Path) -> None:
    shutil.copytree(flow.finished(), tmp_path / "run")
    path = tmp_path / "run/recommendations.parquet"
    pl.read_parquet(path).filter(pl.col("user") != "u01").write_parquet(path)
    assert len(recommend(tmp_path / "run", ["u01"], 2)) == 2


def test_titles_are_those_of_the_items() -> None:
    found = recommend(flow.finished(), ["u01"], 5)
    numbers = found["item"].str.slice(1).cast(pl.Int64)
    assert found["title"].to_list() == [f"Title {number}" for number in numbers]


def test_seen_items_are_left_out_unless_asked_for() -> None:
    pairs = pl.read_csv(flow.data() / "pairs.csv").filter(who="u01").sort("when")
    seen = set(pairs["what"][:-1])  # all but the last, which is the test item
    folder = flow.finished()
    fresh = recommend(folder, ["u01"], flow.NUM_ITEMS)
    assert not seen & set(fresh["item"])
    assert len(fresh) == flow.NUM_ITEMS - len(seen)
    assert len(recommend(folder, ["u01"], flow.NUM_ITEMS, include_seen=True)) == flow.NUM_ITEMS


def test_without_titles_there_is_no_title_column(tmp_path: Path) -> None:
    run(build_config(flow.given_table(tmp_path, "popular")), tmp_path / "run")
    found = recommend(tmp_path / "run", ["u01"], 2)
    assert found.columns == COLUMNS


def test_an_unknown_user_is_named_with_the_nearest_known() -> None:
    with pytest.raises(DataError, match="Unknown user 'u99'"):
        recommend(flow.finished(), ["u01", "u99"], 2)


def test_a_list_longer_than_the_catalogue_is_refused() -> None:
    with pytest.raises(ConfigError, match="best 19 items: the catalogue has 18"):
        recommend(flow.finished(), ["u01"], 19)


def test_nobody_gets_an_empty_table() -> None:
    assert recommend(flow.finished(), [], 5).is_empty()


def test_statistics_of_users_and_items_are_computed_again() -> None:
    tables = ("features", "user_features")
    folder = flow.finished(
        "modality_attention_gcn", *(f"{table}.stats.encoder=interactions" for table in tables)
    )
    stored = pl.read_parquet(folder / "recommendations.parquet").filter(user="u03")
    found = recommend(folder, ["u03"], 5)
    assert found.drop("title").equals(stored.select(COLUMNS))


def test_reasons_are_those_of_the_run() -> None:
    folder = flow.finished()
    stored = pl.read_parquet(folder / "recommendations.parquet").filter(user="u03")
    assert stored.columns == [*COLUMNS, "attention_text", "change_text", "because"]
    found = recommend(folder, ["u03"], 5, explain=True)
    assert found.select(stored.columns).equals(stored)
    assert found.columns == [*stored.columns, "contributions", "title", "because_titles"]
    pairs = pl.read_csv(flow.data() / "pairs.csv").filter(who="u03")
    for row in found.iter_rows(named=True):
        assert set(row["because"]) <= set(pairs["what"])
        assert row["because_titles"] == [f"Title {int(item[1:])}" for item in row["because"]]
        assert sorted(row["contributions"], reverse=True) == row["contributions"]
        assert len(row["contributions"]) == len(row["because"]) <= 3
        assert min(row["contributions"], default=1) > 0


def test_reasons_that_need_a_gradient_are_given_when_asked_for() -> None:
    folder = flow.finished("modality_attention_gcn", "model.backbone=gat")
    stored = pl.read_parquet(folder / "recommendations.parquet")
    assert stored.columns == [*COLUMNS, "attention_text", "change_text"]
    found = recommend(folder, ["u03"], 5, explain=True)
    assert found["because"].list.len().sum() > 0


def test_reasons_of_nobody_are_an_empty_table() -> None:
    found = recommend(flow.finished(), [], 5, explain=True)
    assert found.is_empty()
    assert found.schema["because"] == pl.List(pl.String)


def test_a_model_without_reasons_is_refused() -> None:
    with pytest.raises(ConfigError, match="Recommendations of MF cannot be explained"):
        recommend(flow.finished("mf"), ["u03"], 5, explain=True)
