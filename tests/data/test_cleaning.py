import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.catalog.layouts import with_catalog_defaults
from graphrec.data.cleaning import core_mask, filter_rows, to_pairs
from graphrec.data.config import CleanConfig, ColumnRule, DataConfig


def frame(**extra: list[object]) -> pl.DataFrame:
    columns = {"@user": ["a", "a", "a", "b"], "@item": ["x", "x", "y", "x"]}
    return pl.DataFrame(columns | extra).with_row_index("@row", offset=1)


def pairs(table: pl.DataFrame, how: str, *names: str) -> list[tuple[object, ...]]:
    config = CleanConfig.model_validate({"duplicates": how})
    return sorted(to_pairs(table, config, "toy")[0].select("@user", "@item", *names).rows())


def test_missing_ids_are_dropped_and_counted() -> None:
    table = pl.DataFrame({"@user": ["a", None, "b"], "@item": ["x", "y", None]})
    kept, steps = filter_rows(table, CleanConfig(), "toy")
    assert kept.rows() == [("a", "x")]
    assert (steps[0].name, steps[0].rows_in, steps[0].rows_out) == ("missing ids", 3, 1)


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (ColumnRule(column="n", min=2), [2, 3]),
        (ColumnRule(column="n", max=2), [1, 2]),
        (ColumnRule(column="n", min=2, max=2), [2]),
        (ColumnRule(column="code", keep="^C"), [1, 2]),
        (ColumnRule(column="code", drop="^C"), [3, 4]),
        (ColumnRule(column="code", keep="^C", drop="2$"), [1]),
    ],
)
def test_rules_keep_what_satisfies_every_condition(rule: ColumnRule, rows: list[int]) -> None:
    table = frame(n=["1", "2", "3", None], code=["C1", "C2", "D1", None])
    kept, steps = filter_rows(table, CleanConfig(rules=(rule,)), "toy")
    assert kept["@row"].to_list() == rows
    assert steps[-1].rows_out == len(rows)


def test_a_rule_on_a_number_names_the_row_of_the_file() -> None:
    rules = (ColumnRule(column="n", drop="^1$"), ColumnRule(column="n", min=2))
    with pytest.raises(DataError, match=r"toy, row 3: column 'n' holds 'three'.*rules\[1\]"):
        filter_rows(frame(n=["1", "2", "three", "4"]), CleanConfig(rules=rules), "toy")


def test_rules_that_cannot_work_are_refused() -> None:
    table = frame(price=[1, 2, 3, 4])
    with pytest.raises(DataError, match=r"no column 'prize'.*Did you mean 'price'"):
        filter_rows(table, CleanConfig(rules=(ColumnRule(column="prize", min=1),)), "toy")
    with pytest.raises(ConfigError, match=r"rules\[0\] has no condition"):
        filter_rows(table, CleanConfig(rules=(ColumnRule(column="price"),)), "toy")
    with pytest.raises(ConfigError, match=r"rules\[0\]\.keep = '\('"):
        filter_rows(table, CleanConfig(rules=(ColumnRule(column="price", keep="("),)), "toy")
    with pytest.raises(DataError, match=r"'rule' leaves none of 4 rows.*rules\[0\].*min=9"):
        filter_rows(table, CleanConfig(rules=(ColumnRule(column="price", min=9),)), "toy")


def test_first_and_last_follow_time_not_row_order() -> None:
    table = frame(**{"@time": [9, 3, 1, 1], "@weight": [1.0, 2.0, 3.0, 4.0]})
    assert pairs(table, "first", "@weight")[0] == ("a", "x", 2.0)
    assert pairs(table, "last", "@weight")[0] == ("a", "x", 1.0)


def test_first_and_last_follow_row_order_without_time() -> None:
    table = frame(**{"@weight": [1.0, 2.0, 3.0, 4.0]})
    assert pairs(table, "first", "@weight")[0] == ("a", "x", 1.0)
    assert pairs(table, "last", "@weight")[0] == ("a", "x", 2.0)


def test_sum_adds_weights_and_keeps_the_last_time() -> None:
    table = frame(**{"@time": [9, 3, 1, 1], "@weight": [1.0, 2.0, 3.0, 4.0]})
    expected = [("a", "x", 3.0, 9), ("a", "y", 3.0, 1), ("b", "x", 4.0, 1)]
    assert pairs(table, "sum", "@weight", "@time") == expected


def test_sum_counts_rows_without_weights() -> None:
    assert pairs(frame(), "sum", "@weight") == [("a", "x", 2), ("a", "y", 1), ("b", "x", 1)]


def test_a_smallest_weight_makes_positives() -> None:
    """A rating of 1 star was a positive like one of 5; now one setting says what counts."""
    table = frame(**{"@time": [1, 2, 3, 4], "@weight": [5.0, 2.0, 4.0, 3.0]})
    kept, steps = to_pairs(table, CleanConfig(duplicates="first", min_weight=4), "toy")
    assert sorted(kept.select("@user", "@item").rows()) == [("a", "x"), ("a", "y")]
    assert [step.name for step in steps] == ["duplicates", "min weight"]
    assert (steps[1].rows_in, steps[1].rows_out) == (3, 2)
    kept, _ = to_pairs(table, CleanConfig(duplicates="last", min_weight=4), "toy")
    assert sorted(kept.select("@user", "@item").rows()) == [("a", "y")]
    with pytest.raises(DataError, match=r"'min weight' leaves none of 3.*min_weight = 9"):
        to_pairs(table, CleanConfig(min_weight=9), "toy")


def test_a_smallest_weight_counts_repeated_rows() -> None:
    kept, _ = to_pairs(frame(), CleanConfig(duplicates="sum", min_weight=2), "toy")
    assert kept.select("@user", "@item").rows() == [("a", "x")]
    table = frame(**{"@weight": [1.0, 1.5, 2.0, 9.0]})
    kept, _ = to_pairs(table, CleanConfig(duplicates="sum", min_weight=2.5), "toy")
    assert sorted(kept.select("@user", "@item").rows()) == [("a", "x"), ("b", "x")]


def test_the_core_is_taken_of_what_the_smallest_weight_keeps() -> None:
    pairs = {"@user": ["a", "a", "b", "b"], "@item": ["x", "y", "x", "y"]}
    table = pl.DataFrame(pairs | {"@weight": [5.0, 5.0, 5.0, 1.0]})
    with pytest.raises(DataError, match="'k-core' leaves none of 3 rows"):
        to_pairs(table, CleanConfig(min_weight=4, k_core=2), "toy")


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_weights_of_zero_or_less_that_are_kept_are_said(
    low: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A return of goods, -1, was a positive like any other, without a word."""
    table = frame(**{"@weight": [5.0, 2.0, low, 3.0]})
    to_pairs(table, CleanConfig(), "toy")
    assert "toy: 1 of 3 interactions have a weight of 0 or less" in caplog.text
    assert f"the first is user 'a', item 'y': {low:g}" in caplog.text
    assert "data.clean.min_weight" in caplog.text
    caplog.clear()
    to_pairs(table, CleanConfig(min_weight=1), "toy")
    assert caplog.text == ""


def test_a_smallest_weight_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_weight has no effect without weight"):
        DataConfig.model_validate({"path": "a.csv", "clean": {"min_weight": 4}})
    with pytest.raises(ConfigError, match=r"data\.clean\.min_weight has no effect.*'gowalla'"):
        with_catalog_defaults({"name": "gowalla", "clean": {"min_weight": 4}})
    DataConfig.model_validate({"path": "a.csv", "weight": "stars", "clean": {"min_weight": 4}})
    counted = {"min_weight": 2, "duplicates": "sum"}
    DataConfig.model_validate({"path": "a.csv", "clean": counted})
    with_catalog_defaults({"name": "ml-100k", "clean": {"min_weight": 4}})
    with_catalog_defaults({"name": "online-retail", "clean": {"min_weight": 4}})


def test_no_rows_at_all_is_refused() -> None:
    with pytest.raises(DataError, match=r"toy: the files hold no rows at all"):
        filter_rows(frame().clear(), CleanConfig(), "toy")


def test_duplicates_can_be_refused() -> None:
    with pytest.raises(DataError, match=r"user 'a', item 'x'.*more than once.*duplicates"):
        pairs(frame(), "error")


def test_core_is_a_fixed_point() -> None:
    # u3 holds only i3, whose loss leaves u2 with one item, whose loss leaves i1 with two users.
    users = np.array([0, 0, 1, 1, 2, 2, 3])
    items = np.array([0, 1, 0, 1, 1, 3, 3])
    assert core_mask(users, items, 2).tolist() == [True, True, True, True, False, False, False]
    assert not core_mask(users, items, 3).any()


def test_an_empty_core_names_its_setting() -> None:
    with pytest.raises(DataError, match=r"'k-core' leaves none of 3 rows.*k_core = 5"):
        to_pairs(frame(), CleanConfig(k_core=5), "toy")
