import logging
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.features.tabular.numbers import read_numbers, read_prices, read_times


def ids_of(values: pl.Series) -> pl.Series:
    return pl.Series([f"i{row}" for row in range(len(values))])


def prices(values: list[object], decimal: str | None = None) -> list[float]:
    """The prices themselves, before the logarithm."""
    column = pl.Series("cost", values, strict=False)
    found = np.expm1(read_prices(column, ids_of(column), decimal))
    return np.round(found, 6).tolist()


def times(values: list[object], unix_seconds: bool = False) -> list[float]:
    column = pl.Series("day", values, strict=False)
    return read_times(column, ids_of(column), unix_seconds).tolist()


def seconds(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()


# Prices.


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("12", 12),
        ("0", 0),
        (" 12.5 ", 12.5),
        ("12,50", 12.5),
        ("$1,299.50", 1299.5),
        ("1.299,50 EUR", 1299.5),
        ("USD 12", 12),
        ("usd12", 12),
        ("US$ 12", 12),
        ("$.99", 0.99),
        ("0.125", 0.125),
        ("0,125 €", 0.125),
        ("1299.500", 1299.5),
        ("12.3456", 12.3456),
        ("1,299,000", 1299000),
        ("1.299.000 kr", 1299000),
        ("1 299,50 zł", 1299.5),
        ("1\u202f299 €", 1299),
        ("CHF 1'299.50", 1299.5),
        ("CHF 1\u2019299", 1299),
        ("Rs. 1,299.00", 1299),
    ],
)
def test_a_price_is_read(text, price):
    assert prices([text]) == [pytest.approx(price)]


def test_a_price_is_a_logarithm():
    column = pl.Series("cost", ["$0", "$9.00"])
    np.testing.assert_allclose(read_prices(column, ids_of(column), None), [0, np.log(10)])


def test_prices_may_be_numbers_and_may_be_missing():
    np.testing.assert_equal(prices([1.234, None, float("nan")]), [1.234, np.nan, np.nan])
    np.testing.assert_equal(prices([3, 0]), [3, 0])
    np.testing.assert_equal(prices(["", None, "$3"]), [np.nan, np.nan, 3])
    np.testing.assert_equal(prices([None, None]), [np.nan, np.nan])


@pytest.mark.parametrize(
    ("text", "point", "comma"), [("1.299", 1.299, 1299), ("$1,299", 1299, 1.299)]
)
def test_an_ambiguous_price_is_refused_until_the_decimal_mark_is_set(text, point, comma):
    with pytest.raises(
        DataError, match=r"'cost', item 'i1': .*1.299' can be read with.* decimal = "
    ):
        prices(["12.50", text])
    assert prices([text], ".") == [point]
    assert prices([text], ",") == [comma]


@pytest.mark.parametrize(
    "text",
    ["call us", "12k", "1.5M", "12M$", "$5 - $10", "12 pcs", "1,29,99", "1e5", "$", "5.", "12/34",
     "1,299.50.3", "01,299,000"],
)  # fmt: skip
def test_what_is_no_price_names_column_item_value_and_remedy(text):
    with pytest.raises(
        DataError, match=r"column 'cost', item 'i1': .* is not a price .*Repair"
    ) as e:
        prices(["$1", text, text])
    assert repr(text) in str(e.value)
    assert "(2 such items)" in str(e.value)


def test_a_price_in_the_other_style_is_refused_when_the_mark_is_set():
    with pytest.raises(DataError, match=r"item 'i0': '1\.299,50' is not a price"):
        prices(["1.299,50"], ".")


@pytest.mark.parametrize("value", ["-5", "$-5.00", "-$5.00", "\u22125 EUR", -5, -0.01])
def test_a_negative_price_is_refused(value):
    with pytest.raises(DataError, match=r"column 'cost', item 'i0': .* is a negative price"):
        prices([value])


def test_an_infinite_price_and_a_list_are_refused():
    with pytest.raises(DataError, match=r"item 'i0': inf is not a price"):
        prices([float("inf")])
    with pytest.raises(DataError, match=r"column 'cost' holds List\(.*\), not prices"):
        prices([["$1"]])


def test_several_currencies_are_told(caplog):
    with caplog.at_level(logging.WARNING):
        prices(["$5", "$6", "7"])
        assert caplog.text == ""
        prices(["$5", "6 eur", "EUR 7"])
    assert "column 'cost' mixes prices in $, EUR; they are compared as they stand" in caplog.text


# Times.


DATES = ["2024-01-31", "2024/01/31", "31.01.2024", "31.1.2024", "31-Jan-2024", "31 Jan 2024",
         "31 January 2024", "Jan 31, 2024", "January 31, 2024", "Jan 31 2024"]  # fmt: skip


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_read(text):
    assert times([text]) == [seconds(2024, 1, 31)]


def test_one_column_may_hold_dates_of_several_forms():
    assert times(DATES) == [seconds(2024, 1, 31)] * len(DATES)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31T18:05", (2024, 1, 31, 18, 5)),
        ("2024-01-31 18:05:30", (2024, 1, 31, 18, 5, 30)),
        ("2024-01-31T18:05:30Z", (2024, 1, 31, 18, 5, 30)),
        ("2024-01-31T18:05:30+02:00", (2024, 1, 31, 16, 5, 30)),
        ("2024-01-31 18:05:30 -0330", (2024, 1, 31, 21, 35, 30)),
        ("31.01.2024 8:05", (2024, 1, 31, 8, 5)),
        ("1969-12-31T23:59:59", (1969, 12, 31, 23, 59, 59)),
    ],
)
def test_a_date_with_a_time_is_read(text, moment):
    assert times([text]) == [seconds(*moment)]


def test_fractions_of_a_second_are_kept():
    assert times(["2024-01-31T00:00:00.250"]) == [seconds(2024, 1, 31) + 0.25]


def test_columns_of_dates_are_read_as_utc():
    east = timezone(timedelta(hours=2))
    assert times([date(2024, 1, 31)]) == [seconds(2024, 1, 31)]
    assert times([datetime(2024, 1, 31, 18)]) == [seconds(2024, 1, 31, 18)]
    assert times([datetime(2024, 1, 31, 18, tzinfo=east)]) == [seconds(2024, 1, 31, 16)]
    np.testing.assert_equal(times([None, date(1970, 1, 2)]), [np.nan, 86400])


def test_missing_dates_are_no_error():
    np.testing.assert_equal(times(["", None, "1970-01-02"]), [np.nan, np.nan, 86400])
    np.testing.assert_equal(times([None]), [np.nan])


@pytest.mark.parametrize(
    "text",
    ["01/02/2024", "2024-02-30", "24-01-31", "2024", "2024-01", "soon", "2024-01-31T25:00",
     "2024-01-31T18:61", "20240131", "1706659200", "12024-01-31"],
)  # fmt: skip
def test_what_is_no_date_names_column_item_value_and_remedy(text):
    with pytest.raises(DataError, match=r"column 'day', item 'i1': .* is not a date .*Repair") as e:
        times(["2024-01-31", text])
    assert repr(text) in str(e.value)


def test_numbers_are_seconds_only_if_that_is_said():
    with pytest.raises(DataError, match=r"'day' holds Int64, not dates\. List it in unix_seconds"):
        times([1706659200])
    assert times([1706659200], unix_seconds=True) == [seconds(2024, 1, 31)]
    assert times(["1706659200", -1.5], unix_seconds=True) == [seconds(2024, 1, 31), -1.5]


def test_milliseconds_are_not_taken_for_seconds():
    with pytest.raises(DataError, match=r"'day', item 'i1': 1706659200000 is not .*by 1000"):
        times([0, 1706659200000], unix_seconds=True)


# Numbers.


def test_numbers_and_their_logarithms_are_read():
    column = pl.Series("x", ["1", None, " 3 "])
    np.testing.assert_equal(read_numbers(column, ids_of(column), log=False), [1, np.nan, 3])
    np.testing.assert_allclose(
        read_numbers(column, ids_of(column), log=True), [np.log(2), np.nan, np.log(4)]
    )
