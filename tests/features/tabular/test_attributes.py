import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from graphrec.core.errors import DataError
from graphrec.data import Modality
from graphrec.features.columns import standardise
from graphrec.features.tabular.attributes import AttributeConfig, AttributeEncoder


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


# Robust scaling, prices and dates.


def test_robust_scaling_is_by_median_and_quartiles():
    # quartiles of 1, 2, 3, 4, 100: 2, 3, 4
    result = encode({"count": [1, 2, 3, 4, 100]}, numeric=("count",), scaling="robust")
    np.testing.assert_allclose(result.values[:, 0], [-1, -0.5, 0, 0.5, 48.5])


def test_robust_scaling_of_equal_quartiles_keeps_the_others_apart():
    result = encode({"count": [5, 5, 5, 5, 15]}, numeric=("count",), scaling="robust")
    np.testing.assert_allclose(result.values[:, 0], [0, 0, 0, 0, 2.5])  # the deviation is 4
    same = encode({"count": [0.1, 0.1, None], "kind": ["a"] * 3}, numeric=("count",),
                  categorical=("kind",), scaling="robust")  # fmt: skip
    assert same.values.tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 1]]


def test_prices_stand_between_numbers_and_dates():
    table = {"kind": ["a", "b", None], "day": ["1970-01-01"] * 3, "cost": ["$0", "$9.00", None],
             "n": [1, 3, None]}  # fmt: skip
    roles = {"categorical": ("kind",), "dates": ("day",), "prices": ("cost",), "numeric": ("n",)}
    values = encode(table, **roles).values
    #  n and who lacks it; cost (log1p: 0 and log 10), who lacks it; the same day; kinds
    np.testing.assert_allclose(values[:, :4], [[-1, 0, -1, 0], [1, 0, 1, 0], [0, 1, 0, 1]])
    assert values[:, 4].tolist() == [0, 0, 0]
    assert values[:, 9:].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_a_date_is_its_place_in_time_in_the_year_and_in_the_week():
    """Monday, 1 January 2024, and Thursday noon, 2 July: halves of year and week on."""
    table = {"day": ["2024-01-01", "2024-07-02T00:00", "2024-01-04T12:00", None], "n": [1] * 4}
    values = encode(table, numeric=("n",), dates=("day",)).values[:, 1:]
    seconds = np.array([0, 183 * 86400, 3.5 * 86400])
    known = (seconds - seconds.mean()) / seconds.std()
    np.testing.assert_allclose(values[:, 0], [*known, np.median(known)], rtol=1e-5)
    assert values[:, 1].tolist() == [0, 0, 0, 1]
    year = 2 * np.pi * np.array([0, 183 / 366, 3.5 / 366])
    week = 2 * np.pi * np.array([0, 1 / 7, 0.5])
    cycles = np.column_stack([np.sin(year), np.cos(year), np.sin(week), np.cos(week)])
    np.testing.assert_allclose(values[:3, 2:], cycles, atol=1e-6)
    assert not values[3, 2:].any()


def test_cycles_before_1970_and_of_all_years_have_one_length():
    days = ["1968-12-31", "1969-01-01", "1969-07-02T12:00", "2023-07-02T12:00"]
    values = encode({"day": days}, dates=("day",)).values[:, 1:]
    np.testing.assert_allclose(np.hypot(values[:, 0], values[:, 1]), 1, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(values[:, 2], values[:, 3]), 1, rtol=1e-6)
    np.testing.assert_allclose(values[1, :2], [0, 1], atol=1e-6)
    np.testing.assert_allclose(values[2:, :2], [[0, -1]] * 2, atol=1e-6)
    assert values[0, 0] == pytest.approx(-np.sin(2 * np.pi / 366), abs=1e-6)  # the last day
    # Tuesday and Wednesday
    np.testing.assert_allclose(
        np.arctan2(*values[:2, 2:].T) / (2 * np.pi), [1 / 7, 2 / 7], rtol=1e-5
    )


def test_unix_seconds_are_read_where_named():
    table = {"made": [0, 86400], "day": ["1970-01-01", "1970-01-02"]}
    result = encode(table, dates=("made", "day"), unix_seconds=("made",))
    np.testing.assert_array_equal(result.values[:, :5], result.values[:, 5:])


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"categorical": ("kind",), "unix_seconds": ("day",)}, "unix_seconds names 'day'"),
        ({"numeric": ("n",), "decimal": "."}, "decimal is for prices"),
        ({"multi": ("kind",), "scaling": "robust"}, "scaling is for numeric, prices and dates"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(settings, culprit):
    with pytest.raises(ValidationError, match=culprit):
        AttributeConfig(**settings)


@pytest.mark.parametrize("role", ["prices", "dates"])
def test_an_empty_column_of_prices_or_dates_is_refused(role):
    with pytest.raises(DataError, match=r"column 'empty' is empty for every item"):
        encode({"empty": [None, None], "kind": ["a", "b"]}, **{role: ("empty",)})


def test_errors_of_prices_and_dates_name_column_and_item():
    with pytest.raises(DataError, match=r"column 'cost', item 'i1': '1,299' can be read"):
        encode({"cost": ["$1", "1,299"]}, prices=("cost",))
    assert encode({"cost": ["$1", "1,299"]}, prices=("cost",), decimal=",").values.shape == (2, 1)
    with pytest.raises(DataError, match=r"column 'day', item 'i0': '01/02/2024' is not a date"):
        encode({"day": ["01/02/2024"]}, dates=("day",))


@pytest.mark.parametrize(
    "tags",
    [
        [[["x", "y"], ["z"]], [["y"]], None],
        ["[['x', 'y'], ['z']]", "[['y']]", None],
        ["['x', 'y', 'z']", '["y"]', ""],
    ],
)
def test_lists_of_lists_and_lists_in_text_are_flat_tags(tags):
    result = encode({"tags": tags}, multi=("tags",))
    assert result.values.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]


def test_lists_in_text_of_different_types_are_refused():
    with pytest.raises(DataError, match=r"lists in column 'tags' hold entries of different types"):
        encode({"tags": ["[['x', 'y'], ['z']]", "['y']"]}, multi=("tags",))
    with pytest.raises(DataError, match=r"lists in column 'tags' hold entries of different types"):
        encode({"tags": ["['x', 1]", "['y']"]}, multi=("tags",))


def test_lists_of_objects_are_refused_with_column_and_fields():
    with pytest.raises(DataError, match=r"'tags' holds lists of objects with the fields name"):
        encode({"tags": [[{"name": "x"}], []]}, multi=("tags",))


def test_text_of_true_and_false_is_a_number():
    """Text files bring every field as text; these columns were read as numbers before."""
    result = encode({"sale": ["true", "False", None]}, numeric=("sale",))
    assert result.values.tolist() == [[1], [-1], [0]]


@pytest.mark.parametrize("value", ["1e39", 1e39, -1e300])
def test_a_number_beyond_float32_is_refused_by_item(value):
    with pytest.raises(DataError, match=r"'price', item 'i1': .* is not a finite number"):
        encode({"price": [type(value)(1), value]}, numeric=("price",))


@pytest.mark.parametrize("value", [b"\xff", [1], {"a": 1}])
def test_a_value_that_is_no_category_is_refused_with_its_type(value):
    with pytest.raises(DataError, match=r"'kind' holds \w+.*not a category"):
        encode({"kind": [value, value]}, categorical=("kind",))
