import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from graphrec.errors import DataError
from graphrec.features.attributes import AttributeConfig, AttributeEncoder, standardise
from graphrec.features.features import Modality


def encode(table: dict[str, list[object]], **settings: object) -> Modality:
    items = pl.DataFrame(table, strict=False)
    ids = pl.Series([f"i{row}" for row in range(len(items))])
    return AttributeEncoder(AttributeConfig(**settings)).encode(items, ids)


def test_a_number_is_standardised_by_hand():
    # mean 2, deviation sqrt((1 + 0 + 1) / 3) = sqrt(2/3)
    result = encode({"price": [1, 2, 3]}, numeric=("price",))
    scale = (3 / 2) ** 0.5
    np.testing.assert_allclose(result.values, [[-scale], [0], [scale]], rtol=1e-6)
    assert result.present.all()
    assert result.values.dtype == np.float32


def test_log_is_taken_before_standardising():
    # log1p gives 0 and log 10: standardised -1 and 1
    result = encode({"count": [0, 9]}, numeric=("count",), log=("count",))
    np.testing.assert_allclose(result.values, [[-1], [1]], rtol=1e-6)


def test_a_constant_number_becomes_zeros_not_nan():
    result = encode({"price": [0.1, 0.1, 0.1]}, numeric=("price",))
    assert result.values.tolist() == [[0], [0], [0]]


def test_standardise_does_not_divide_by_rounding_error():
    assert not standardise(np.full((1000, 2), 0.1, dtype=np.float32)).any()


def test_an_item_without_the_number_gets_the_median_and_an_indicator():
    table = {"price": [1, 2, 6, None], "kind": ["a", "a", "a", "a"]}
    result = encode(table, numeric=("price",), categorical=("kind",))
    assert result.present.all()
    assert result.values.shape == (4, 3)
    assert result.values[3, 0] == result.values[1, 0]
    assert result.values[:, 1].tolist() == [0, 0, 0, 1]
    # the missing one takes no part in mean and deviation
    np.testing.assert_allclose(result.values[:3, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(result.values[:3, 0].std(), 1, rtol=1e-6)


def test_an_item_with_no_attribute_is_missing_and_needs_no_indicator():
    table = {"price": [1, 3, None], "kind": ["a", "b", " "], "tags": ["x", "y|x", ""]}
    result = encode(table, numeric=("price",), categorical=("kind",), multi=("tags",))
    assert result.present.tolist() == [True, True, False]
    assert result.values.tolist() == [[-1, 1, 0, 1, 0], [1, 0, 1, 1, 1], [0] * 5]


def test_the_median_is_not_written_into_missing_items():
    result = encode({"price": [1, 1, 4, None]}, numeric=("price",))
    assert result.present.tolist() == [True, True, True, False]
    assert result.values.shape == (4, 1)
    assert result.values[1, 0] < 0  # the median
    assert result.values[3, 0] == 0


def test_nan_in_a_float_column_is_a_missing_number():
    result = encode({"price": [1.0, float("nan"), 3.0]}, numeric=("price",))
    assert result.present.tolist() == [True, False, True]


def test_categories_are_sorted_by_name_and_trimmed():
    result = encode({"kind": ["b", " a", "c", "b "]}, categorical=("kind",))
    assert result.values.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rare_categories_share_the_last_column():
    result = encode({"kind": ["z", "b", "z", "a"]}, categorical=("kind",), min_count=2)
    assert result.values.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_numbers_may_be_categories():
    result = encode({"year": [1999, 1995]}, categorical=("year",))
    assert result.values.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("tags", [["x|y", "y| y|", None], [["x", "y"], ["y", "y", None], []]])
def test_tags_are_text_with_a_separator_or_lists(tags):
    result = encode({"tags": tags}, multi=("tags",))
    assert result.values.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert result.present.tolist() == [True, True, False]


def test_the_separator_can_be_set():
    result = encode({"tags": ["Action Drama", "Drama"]}, multi=("tags",), separator=" ")
    assert result.values.tolist() == [[1, 1], [0, 1]]


def test_a_tag_counts_once_per_item_for_min_count():
    result = encode({"tags": ["x|x", "y", "y"]}, multi=("tags",), min_count=2)
    assert result.values.tolist() == [[0, 1], [1, 0], [1, 0]]


def test_rows_follow_the_items_when_these_are_reordered():
    table = pl.DataFrame({"price": [1, 2, 6], "kind": ["a", None, "b"]})
    ids = pl.Series(["p", "q", "r"])
    order = [2, 0, 1]
    encoder = AttributeEncoder(AttributeConfig(numeric=("price",), categorical=("kind",)))
    straight = encoder.encode(table, ids)
    turned = encoder.encode(table[order], ids[order])
    np.testing.assert_allclose(turned.values, straight.values[order], rtol=1e-6)


def test_numbers_in_text_are_read():
    result = encode({"price": ["1", " 3 ", ""]}, numeric=("price",))
    assert result.values.tolist() == [[-1], [1], [0]]
    assert result.present.tolist() == [True, True, False]


def test_text_in_a_numeric_column_names_item_and_value():
    with pytest.raises(DataError, match=r"column 'price', item 'i1': 'cheap' is not a finite num"):
        encode({"price": ["1", "cheap", "x"]}, numeric=("price",))


def test_an_infinite_number_names_item_and_value():
    with pytest.raises(DataError, match=r"item 'i2': inf is not a finite number"):
        encode({"price": [1.0, 2.0, float("inf")]}, numeric=("price",))


def test_a_number_too_small_for_log_names_item_and_value():
    with pytest.raises(DataError, match=r"item 'i1': -1 is not a finite number above -1"):
        encode({"price": [1, -1]}, numeric=("price",), log=("price",))


@pytest.mark.parametrize("role", ["numeric", "categorical"])
def test_a_list_column_belongs_to_multi(role):
    with pytest.raises(DataError, match=r"column 'tags' holds List.*multi"):
        encode({"tags": [["x"], ["y"]]}, **{role: ("tags",)})


def test_a_number_column_does_not_belong_to_multi():
    with pytest.raises(DataError, match=r"column 'price' holds Int64, neither lists nor text"):
        encode({"price": [1, 2]}, multi=("price",))


def test_an_absent_column_offers_the_nearest():
    with pytest.raises(DataError, match=r"no column 'pric'\. Did you mean 'price'\?"):
        encode({"price": [1]}, numeric=("pric",))


@pytest.mark.parametrize("role", ["numeric", "categorical", "multi"])
def test_an_empty_column_is_refused(role):
    with pytest.raises(DataError, match=r"column 'empty' is empty for every item"):
        encode({"empty": [None, None], "kind": ["a", "b"]}, **{role: ("empty",)})


def test_without_an_item_table_the_remedy_is_named():
    encoder = AttributeEncoder(AttributeConfig(numeric=("price",)))
    with pytest.raises(DataError, match=r"'price' is wanted.*no item table.*data\.items"):
        encoder.encode(None, pl.Series(["a"]))


def test_a_config_without_columns_is_refused():
    with pytest.raises(ValidationError, match="needs at least one column"):
        AttributeConfig()


def test_log_must_name_a_numeric_column():
    with pytest.raises(ValidationError, match="log names 'price'"):
        AttributeConfig(categorical=("kind",), log=("price",))
