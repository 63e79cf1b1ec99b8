import logging
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from graphrec.core.errors import DataError
from graphrec.data import Modality
from graphrec.features.tabular.tfidf import BowConfig, BowEncoder, TfidfConfig, TfidfEncoder

WORDS = ["red", "green", "blue", "small", "large", "round", "flat", "soft"]


def encode(table: dict[str, list[object]], **settings: object) -> Modality:
    items = pl.DataFrame(table, strict=False)
    ids = pl.Series([f"i{row}" for row in range(len(items))])
    return TfidfEncoder(TfidfConfig(**{"columns": "title", **settings})).encode(items, ids)


def bag(titles: list[str | None], **settings: object) -> Modality:
    ids = pl.Series([f"i{row}" for row in range(len(titles))])
    config = BowConfig(**{"columns": "title", "min_df": 1, **settings})
    return BowEncoder(config).encode(pl.DataFrame({"title": titles}), ids)


def some_titles(count: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=4)) for _ in range(count)]


def test_cosines_are_those_of_tfidf_by_hand():
    # n = 3; df: red 2, blue 2, flat 1 -> idf = 1 + ln(4 / 3), 1 + ln(4 / 3), 1 + ln(4 / 2)
    values = encode({"title": ["red blue", "red", "blue flat"]}, min_df=1).values
    common, alone = 1 + np.log(4 / 3), 1 + np.log(2)
    half = 1 / np.sqrt(2)
    other = common / np.hypot(common, alone)
    expected = [[1, half, half * other], [half, 1, 0], [half * other, 0, 1]]
    np.testing.assert_allclose(values @ values.T, expected, atol=1e-6)


def test_rows_have_length_one_and_the_asked_width():
    result = encode({"title": some_titles()}, dim=5)
    assert result.values.shape == (60, 5)
    assert result.values.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result.values, axis=1), 1, rtol=1e-5)


def test_two_runs_give_the_same_bits():
    titles = some_titles()
    assert encode({"title": titles}).fingerprint == encode({"title": titles}).fingerprint


def test_signs_do_not_depend_on_the_order_of_the_items():
    titles = some_titles()
    order = np.random.default_rng(1).permutation(len(titles))
    straight = encode({"title": titles}, dim=4).values
    turned = encode({"title": [titles[row] for row in order]}, dim=4).values
    np.testing.assert_allclose(turned, straight[order], atol=1e-4)


@pytest.mark.parametrize("text", [None, "", "  ", "!?", "unique"])
def test_an_item_without_a_counted_word_is_missing(text):
    result = encode({"title": ["red blue", text, "blue red"]})
    assert result.present.tolist() == [True, False, True]
    assert not result.values[1].any()


def test_missing_items_do_not_change_the_others():
    titles = some_titles()
    full = encode({"title": titles}).values
    gaps = encode({"title": [*titles, None, ""]}).values
    np.testing.assert_array_equal(gaps[: len(titles)], full)


def test_items_outside_the_kept_directions_are_missing_not_arbitrary(caplog):
    titles = ["red blue"] * 5 + ["flat soft"] * 2
    with caplog.at_level(logging.WARNING):
        result = encode({"title": titles}, dim=1)
    assert result.present.tolist() == [True] * 5 + [False] * 2
    assert not result.values[5:].any()
    assert "2 items have no word in the 1 strongest directions" in caplog.text


def test_fewer_columns_than_dim_are_logged(caplog):
    with caplog.at_level(logging.WARNING):
        result = encode({"title": ["red blue", "blue red", "red blue"]}, dim=128)
    assert result.values.shape == (3, 2)
    assert "2 columns instead of dim = 128, as there are 3 texts and 2 terms" in caplog.text


def test_one_word_is_enough():
    assert encode({"title": ["red", "red"]}).values.tolist() == [[1], [1]]


def test_min_df_ngrams_and_sublinear_tf_reach_the_counts():
    titles = ["red blue", "red blue", "red red red flat"]
    assert encode({"title": titles}, min_df=1).values.shape[1] == 3
    assert encode({"title": titles}, min_df=2).values.shape[1] == 2
    assert encode({"title": titles}, min_df=2, ngrams=2).values.shape[1] == 3
    plain = encode({"title": titles}, min_df=1).values
    damped = encode({"title": titles}, min_df=1, sublinear_tf=True).values
    assert plain[0] @ plain[2] > damped[0] @ damped[2]


def test_several_columns_and_lists_are_joined():
    joined = encode({"title": ["red blue", "blue", "red"]}, min_df=1)
    table = {"brand": ["red", None, "red"], "tags": [["blue"], ["blue", None], []]}
    apart = encode(table, columns=("brand", "tags"), min_df=1)
    np.testing.assert_allclose(apart.values, joined.values, atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "weight"), [("raw", 3.0), ("log", 1 + np.log(3)), ("binary", 1.0)]
)
def test_cosines_of_a_bag_of_words_are_those_of_its_counts(counts, weight):
    values = bag(["red red red blue", "red", "blue flat"], counts=counts).values
    rows = np.array([[weight, 1, 0], [1, 0, 0], [0, 1, 1]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(values @ values.T, rows @ rows.T, atol=1e-6)


def test_a_bag_of_words_knows_no_rare_words_but_keeps_mask_and_width():
    result = bag(["red blue", None, "red red flat"], dim=2)
    assert result.present.tolist() == [True, False, True]
    assert result.values.shape == (3, 2)
    assert result.fingerprint == bag(["red blue", None, "red red flat"], dim=2).fingerprint
    # tf-idf would make the words that stand in one item only count for more
    tfidf = encode({"title": ["red blue", None, "red red flat"]}, min_df=1)
    assert result.values[0] @ result.values[2] > tfidf.values[0] @ tfidf.values[2]


def test_a_long_text_does_not_take_the_strongest_direction():
    assert bag(["red " * 100, *["blue flat"] * 3], dim=1).present.tolist() == [False] + [True] * 3


def test_messages_name_the_encoder_that_speaks(caplog):
    with caplog.at_level(logging.WARNING):
        bag(["red blue", "blue red"])
        encode({"title": ["red blue", "blue red"]})
    assert [message.split(":")[0] for message in caplog.messages] == ["bow", "tfidf"]


def test_no_word_at_all_names_the_column_and_the_remedy():
    with pytest.raises(DataError, match=r"no word of title .*0 of 2 items have text.*min_df"):
        encode({"title": [None, " "]})


def test_words_all_below_min_df_name_the_column_and_the_remedy():
    with pytest.raises(DataError, match=r"no word of title is in 2 or more.*2 of 2 items"):
        encode({"title": ["red", "blue"]})


def test_an_absent_column_offers_the_nearest():
    with pytest.raises(DataError, match=r"no column 'titel'\. Did you mean 'title'\?"):
        encode({"title": ["red"]}, columns="titel")


def test_without_columns_the_config_is_refused():
    with pytest.raises(ValidationError, match="columns"):
        TfidfConfig(columns=())


@pytest.mark.data
def test_real_overviews_are_masked_where_empty_and_find_the_other_star_treks():
    folder = os.environ.get("GRAPHREC_DATA")
    if folder is None:
        pytest.skip("GRAPHREC_DATA names no folder with data sets")
    items = pl.read_csv(Path(folder) / "ml-100k" / "overviews.csv")
    ids = items["movie_id"].cast(pl.String)
    overviews = TfidfEncoder(TfidfConfig(columns=("overview",))).encode(items, ids)
    np.testing.assert_array_equal(overviews.present, items["overview"].is_not_null().to_numpy())

    values = TfidfEncoder(TfidfConfig(columns=("title", "overview"))).encode(items, ids).values
    cosines = values @ values.T
    np.fill_diagonal(cosines, -1)
    is_trek = items["title"].str.starts_with("Star Trek").to_numpy()
    assert is_trek.sum() == 8
    assert is_trek[cosines[is_trek].argmax(axis=1)].all()
