import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.config import DataConfig
from graphrec.datasets.readers import detect_format, read_interactions, read_item_table
from graphrec.errors import DataError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def roles(path: Path, **settings: object) -> list[tuple[object, ...]]:
    frame = read_interactions(path, DataConfig.model_validate({"path": path, **settings}))
    return frame.select(name for name in frame.columns if name[0] == "@" and name != "@row").rows()


def test_csv_maps_columns_and_keeps_leading_zeros(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "who,what,when,stars\n007,x,10,4.5\n7,y,20,3\n")
    found = roles(path, user="who", item="what", time="when", weight="stars")
    assert found == [("007", "x", 10, 4.5), ("7", "y", 20, 3.0)]


def test_tsv_jsonl_and_parquet_agree_with_csv(tmp_path: Path) -> None:
    table = pl.DataFrame({"user": [3, 1], "item": ["b", "a"], "t": [5, 6]})
    table.write_csv(tmp_path / "a.csv")
    table.write_csv(tmp_path / "a.tsv", separator="\t")
    table.write_ndjson(tmp_path / "a.jsonl")
    table.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet", "b.csv.gz", "b.jsonl.gz"):
        assert roles(tmp_path / name, time="t") == [("3", "b", 5), ("1", "a", 6)], name


def test_headerless_text_is_read_when_the_user_column_is_numbered(tmp_path: Path) -> None:
    path = write(tmp_path / "u.data.tsv", "1\t9\t5\n2\t8\t4\n")
    assert roles(path, user="column_1", item="column_2") == [("1", "9"), ("2", "8")]


def test_dates_become_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,t\n1,2,1970-01-02\n1,3,1970-01-03\n")
    assert roles(path, time="t") == [("1", "2", 86400), ("1", "3", 172800)]
    path = write(tmp_path / "b.csv", "user,item,t\n1,2,1970-01-01 00:01:00\n")
    assert roles(path, time="t") == [("1", "2", 60)]


def test_recbole_types_are_stripped(tmp_path: Path) -> None:
    path = write(tmp_path / "x.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t9.0\n")
    assert roles(path, user="user_id", item="item_id", time="timestamp") == [("1", "2", 9)]


def test_mmrec_inter_brings_its_columns_and_its_split(tmp_path: Path) -> None:
    path = write(
        tmp_path / "baby.inter", "userID\titemID\trating\tx_label\n0\t5\t4\t0\n0\t6\t5\t2\n"
    )
    assert roles(path) == [("0", "5", 0), ("0", "6", 2)]


def test_adjacency_list_with_a_user_without_items(tmp_path: Path) -> None:
    text = "0 5 6 \n1\n2 5\n"
    path = write(tmp_path / "train.txt", text)
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    expected = [("0", "5"), ("0", "6"), ("2", "5")]
    assert roles(path) == expected
    assert roles(packed) == expected


@pytest.mark.parametrize("token", ["-3", "x7", "1.5"])
def test_adjacency_list_refuses_a_bad_id_by_line(tmp_path: Path, token: str) -> None:
    path = write(tmp_path / "train.txt", f"0 5 6\n1 {token}\n")
    with pytest.raises(DataError, match=rf"train\.txt, line 2: '{token}'"):
        roles(path)


def test_npz_pair_arrays_of_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, tr=np.array([[0, 1, 1], [5, 6, 7]]), te=np.array([[0, 7]]))
    found = roles(path, arrays={"train": "tr", "test": "te"})
    assert found == [("0", "5", 0), ("1", "6", 0), ("1", "7", 0), ("0", "7", 2)]


def test_npz_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, user=[4, 4], video=[1, 2], position=[0, 1], other=np.ones((2, 3)))
    assert roles(path, item="video", time="position") == [("4", "1", 0), ("4", "2", 1)]


def test_npz_refuses_negative_ids_floats_and_unknown_arrays(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, train=np.array([[0, -1], [5, 6]]), half=np.ones((2, 2)), flat=np.ones(3))
    with pytest.raises(DataError, match=r"'train' holds the id -1"):
        roles(path, arrays={"train": "train"})
    with pytest.raises(DataError, match=r"'half' is float64"):
        roles(path, arrays={"train": "half"})
    with pytest.raises(DataError, match=r"'flat' has shape \(3,\)"):
        roles(path, arrays={"train": "flat"})
    with pytest.raises(DataError, match=r"no array 'trian'\. Did you mean 'train'"):
        roles(path, arrays={"train": "trian"})


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user_id,item\n1,2\n")
    with pytest.raises(DataError, match=r"a\.csv has no column 'user'.*data\.user.*'user_id'"):
        roles(path)


@pytest.mark.parametrize("bad", ["soon", "", "nan", "inf"])
def test_a_bad_time_is_named_by_row(tmp_path: Path, bad: str) -> None:
    path = write(tmp_path / "a.csv", f"user,item,t\n1,2,10\n1,3,20\n1,4,{bad}\n")
    with pytest.raises(DataError, match=r"a\.csv, row 3: column 't' holds"):
        roles(path, time="t")


def test_a_date_whose_day_and_month_could_be_swapped_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,t\n1,2,05/01/2011\n")
    with pytest.raises(DataError, match=r"row 1: .*'05/01/2011'.*a date like 2024-01-31"):
        roles(path, time="t")


def test_a_bad_date_is_named_by_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,t\n1,2,2020-01-01\n1,3,soon\n")
    with pytest.raises(DataError, match=r"row 2: column 't' holds 'soon'"):
        roles(path, time="t")


def test_a_bad_weight_and_a_bad_label_are_named_by_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,w,part\n1,2,3,train\n1,3,many,tset\n")
    with pytest.raises(DataError, match=r"row 2: column 'w' holds 'many'"):
        roles(path, weight="w")
    with pytest.raises(DataError, match=r"row 2: column 'part' holds 'tset'.*train, valid, test"):
        roles(path, label="part")


def test_whole_float_ids_lose_their_fraction_and_nan_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user": [17850.0, float("nan"), None], "item": ["a", " ", "b"]}).write_parquet(
        path
    )
    assert roles(path) == [("17850", "a"), (None, None), (None, "b")]


def test_unknown_endings_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*gone\.csv"):
        detect_format(tmp_path / "gone.csv", "auto")
    with pytest.raises(DataError, match=r"a\.xlsx.*data\.format"):
        detect_format(write(tmp_path / "a.xlsx", ""), "auto")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as parquet"):
        roles(write(tmp_path / "a.parquet", "no parquet"))
    with pytest.raises(DataError, match=r"a\.npz cannot be read as npz"):
        roles(write(tmp_path / "a.npz", "no archive"), arrays={"train": "x"})
    with pytest.raises(DataError, match=r"empty\.csv cannot be read as csv"):
        roles(write(tmp_path / "empty.csv", ""))
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read as csv"):
        roles(write(tmp_path / "a.csv.gz", "user,item\n"))


def test_item_table_has_types_but_text_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "id,price,name\n01,2.5,x\n02,3,y\n")
    table = read_item_table(path, "id")
    assert table.rows() == [("01", 2.5, "x"), ("02", 3.0, "y")]
    with pytest.raises(DataError, match=r"no column 'item', which data\.items_id asks for"):
        read_item_table(path, "item")


def test_an_empty_adjacency_list_has_no_rows(tmp_path: Path) -> None:
    assert roles(write(tmp_path / "valid.txt", "")) == []
    assert roles(write(tmp_path / "valid.txt", "3\n\n4\n")) == []


def test_the_line_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "items.csv"
    path.write_bytes(b"item,title\n1,plain\n2,caf\xe9\n")
    with pytest.raises(
        DataError, match=r"items\.csv .*line 3 is not UTF-8: b'2,caf.*Save the file"
    ):
        read_item_table(path, "item", None)
