from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.data import load
from graphrec.data.config import DataConfig
from graphrec.data.readers import read_interactions


def roles(folder: Path, columns: pl.DataFrame, **settings: object) -> list[tuple[object, ...]]:
    path = folder / "a.parquet"
    columns.write_parquet(path)
    frame = read_interactions(path, DataConfig.model_validate({"path": path, **settings}))
    return frame.select(name for name in frame.columns if name[0] == "@" and name != "@row").rows()


@pytest.mark.parametrize(
    ("ids", "kind", "text"),
    [
        (["a", "b"], pl.Categorical, ["a", "b"]),
        (["a", "b"], pl.Enum(["b", "a"]), ["a", "b"]),
        ([b"007", b"7"], pl.Binary, ["007", "7"]),
        ([Decimal(12), Decimal(13)], pl.Decimal(38, 0), ["12", "13"]),
        ([Decimal("12.00"), Decimal("13.00")], pl.Decimal(10, 2), ["12", "13"]),
        ([2**64 - 1, 1], pl.UInt64, [str(2**64 - 1), "1"]),
        ([3, 1], pl.Int8, ["3", "1"]),
    ],
)
def test_ids_of_unusual_types_are_text(
    tmp_path: Path, ids: list[object], kind: pl.DataType, text: list[str]
) -> None:
    frame = pl.DataFrame({"user": pl.Series(ids, dtype=kind), "item": [1, 2]})
    assert [row[0] for row in roles(tmp_path, frame)] == text


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        ([b"a", b"\xff\xfe"], r"row 2: column 'user' holds b'\\xff\\xfe'.*\(1 such rows"),
        ([timedelta(1), None], r"row 1: column 'user' holds .*Duration"),
        ([time(1), time(2)], r"row 1: column 'user' holds .*Time"),
        ([["a", "b"], ["c"]], r"column 'user'.* holds List\(String\).*data\.unroll = \"user\""),
    ],
)
def test_ids_of_unfit_types_are_refused_by_column_and_row(
    tmp_path: Path, values: list[object], culprit: str
) -> None:
    with pytest.raises(DataError, match=culprit):
        roles(tmp_path, pl.DataFrame({"user": values, "item": [1, 2]}))


@pytest.mark.parametrize(
    ("role", "values", "kind"),
    [
        ("time", [1, 2**63 + 5], pl.UInt64),
        ("time", ["1", "99999999999999999999"], pl.String),
        ("time", [1.0, 1e20], pl.Float64),
        ("time", [timedelta(1), timedelta(2)], pl.Duration),
        ("time", [time(1), time(2)], pl.Time),
        ("time", [[1], [2]], pl.List(pl.Int64)),
        ("time", [b"x", b"\xff"], pl.Binary),
        ("weight", [1.0, 1e300], pl.Float64),
        ("weight", ["1", "1e39"], pl.String),
        ("weight", [date(2020, 1, 1), None], pl.Date),
        ("weight", [[1], [2]], pl.List(pl.Int64)),
        ("label", [["train"], ["test"]], pl.List(pl.String)),
    ],
)
def test_times_weights_and_labels_that_do_not_fit_are_refused(
    tmp_path: Path, role: str, values: list[object], kind: pl.DataType
) -> None:
    """Each was a traceback of polars, or an infinite weight."""
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2], "x": pl.Series(values, dtype=kind)})
    with pytest.raises(DataError, match=r"column 'x'"):
        roles(tmp_path, frame, **{role: "x"})


def test_columns_that_nobody_asks_for_may_hold_anything(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1], "item": [2], "p": [b"\xff"], "l": [[1]], "s": [{"a": 1}]})
    assert roles(tmp_path, frame) == [("1", "2")]


@pytest.mark.parametrize(
    "settings",
    [
        {"item_columns": {"t": {"column": "tags"}}},
        {"clean": {"rules": [{"column": "tags", "keep": "x"}]}},
        {"clean": {"rules": [{"column": "tags", "min": 1}]}},
    ],
)
def test_lists_where_one_value_is_wanted_are_refused_with_column_and_type(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"user": 1, "item": 3, "tags": ["x", "y"]}\n' * 3)
    with pytest.raises(DataError, match=r"column 'tags' holds List\(String\)"):
        load(DataConfig.model_validate({"path": path, **settings}))


def test_a_list_is_no_title(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item\n1,3\n")
    (tmp_path / "m.jsonl").write_text('{"item": "3", "tags": ["x", "y"]}\n')
    config = {"path": tmp_path / "r.csv", "items": tmp_path / "m.jsonl", "item_title": "tags"}
    with pytest.raises(DataError, match=r"'tags' holds List\(String\), but data\.item_title"):
        load(DataConfig.model_validate(config))
