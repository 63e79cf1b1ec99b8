import gzip
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from graphrec.core.errors import DataError
from graphrec.data import load
from graphrec.data.config import DataConfig
from graphrec.data.readers import read_interactions, read_item_table
from graphrec.data.sources import detect_format


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
    with pytest.raises(DataError, match=r"a\.csv\.gz is not a gzip archive"):
        roles(write(tmp_path / "a.csv.gz", "user,item\n"))


def test_fields_of_an_item_table_stay_text_as_01_and_1_are_two_categories(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "id,price,zip\n01,2.50,01\n02,3,1\n")
    table = read_item_table(path, "id")
    assert table.rows() == [("01", "2.50", "01"), ("02", "3", "1")]
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


@pytest.mark.parametrize("name", ["r[1].csv", "r*.csv", "r?.csv", "r[1].csv.gz", "r[1].tsv"])
@pytest.mark.parametrize("folder", ["plain", "v[2]", "all*"])
def test_a_path_is_one_file_and_no_pattern(tmp_path: Path, folder: str, name: str) -> None:
    """A file beside it that the name as a pattern would match must not be read instead."""
    (tmp_path / folder).mkdir()
    text = "user,item\n1,2\n".replace(",", "\t" if ".tsv" in name else ",")
    other = (tmp_path / folder / name).with_name(name.translate(str.maketrans("*?", "11", "[]")))
    for path, content in ((other, text.replace("1", "9")), (tmp_path / folder / name, text)):
        path.write_bytes(gzip.compress(content.encode()) if "gz" in name else content.encode())
    assert roles(tmp_path / folder / name) == [("1", "2")]
    assert read_item_table(tmp_path / folder / name, "item").rows() == [("1", "2")]


@pytest.mark.parametrize("name", ["r[1].parquet", "r*.parquet"])
def test_the_path_of_a_parquet_file_is_no_pattern(tmp_path: Path, name: str) -> None:
    pl.DataFrame({"user": [9], "item": [9]}).write_parquet(tmp_path / "r1.parquet")
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / name)
    assert roles(tmp_path / name) == [("1", "2")]
    assert read_item_table(tmp_path / name, "item").rows() == [(1, 2)]


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv is a folder\. Give the path of one file"):
        roles(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv.* is no regular file"):
        roles(tmp_path / "b.csv")


@pytest.mark.parametrize("name", ["A.CSV", "A.Csv.GZ", "a.csv"])
def test_the_ending_may_be_in_capitals_and_gzip_is_found_by_content(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"user,item\n1,2\n") if name != "A.CSV" else b"user,item\n1,2\n")
    assert roles(path) == [("1", "2")]


def test_an_unknown_ending_names_the_setting_of_its_own_file(tmp_path: Path) -> None:
    """data.format says nothing about the item table."""
    path = write(tmp_path / "movies.dat", "item::title\n1::x\n")
    with pytest.raises(DataError, match=r"Set data\.items_format, or use one of"):
        read_item_table(path, "item")
    table = read_item_table(path, "item", "::", configured="csv")
    assert table.to_dicts() == [{"item": "1", "title": "x"}]
    with pytest.raises(DataError, match=r"not adjacency\. Set data\.items_format to one of csv"):
        read_item_table(write(tmp_path / "movies.txt", "1 2\n"), "item")


def test_settings_of_the_item_table_are_its_own_or_those_of_the_interactions(
    tmp_path: Path,
) -> None:
    write(tmp_path / "r.dat", "user::item\n1::a\n1::b\n2::a\n")
    (tmp_path / "i.dat").write_bytes("item|title\na|'caf\xe9|bar'\n".encode("latin-1"))
    settings = {
        "path": tmp_path / "r.dat",
        "format": "csv",
        "separator": "::",
        "items": tmp_path / "i.dat",
        "items_format": "csv",
        "items_separator": "|",
        "items_quote": "'",
        "items_encoding": "latin-1",
    }
    dataset = load(DataConfig.model_validate(settings))
    assert dataset.item_table is not None
    assert dataset.item_table["title"].to_list() == ["caf\xe9|bar", None]
    for name, culprit in (
        ("items_format", r"Set data\.items_format"),
        ("items_separator", r"its first line is the one field 'item\|title'"),
        ("items_encoding", r"line 2 is not UTF-8.*data\.items_encoding"),
        ("items_quote", r"line 2: .* has 3 fields.*data\.items_quote"),
    ):
        fewer = {key: value for key, value in settings.items() if key != name}
        with pytest.raises(DataError, match=culprit):
            load(DataConfig.model_validate(fewer))
    (tmp_path / "i.dat").write_text("item::title\na::x\n")
    shared = {key: value for key, value in settings.items() if not key.startswith("items_")}
    dataset = load(DataConfig.model_validate(shared | {"items_format": "csv"}))
    assert dataset.item_table is not None
    assert dataset.item_table["title"].to_list() == ["x", None]


@pytest.mark.parametrize(
    "header",
    [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "user_id\titem_id\trating\ttimestamp",
    ],
)
@pytest.mark.parametrize("ending", [".inter", ".inter.gz"])
def test_recbole_files_are_read_by_their_path_alone(
    tmp_path: Path, header: str, ending: str
) -> None:
    path = tmp_path / f"x{ending}"
    content = f"{header}\n1\t2\t4\t99\n".encode()
    path.write_bytes(gzip.compress(content) if "gz" in ending else content)
    assert roles(path) == [("1", "2", 99, 4.0)]


def test_recbole_and_mmrec_files_with_fewer_columns_are_read(tmp_path: Path) -> None:
    assert roles(write(tmp_path / "a.inter", "user_id\titem_id\n1\t2\n")) == [("1", "2")]
    assert roles(write(tmp_path / "b.inter", "userID\titemID\n1\t2\n")) == [("1", "2")]
    assert roles(write(tmp_path / "c.inter", "user\titem\n1\t2\n")) == [("1", "2")]
    items = read_item_table(write(tmp_path / "a.item", "item_id:token\tt:token\n1\t01\n"), "item")
    assert items.to_dicts() == [{"item": "1", "t": "01"}]
    with pytest.raises(DataError, match=r"no column 'user'.*Columns: u, i"):
        roles(write(tmp_path / "d.inter", "u\ti\n1\t2\n"))


CONTENTS = {
    "csv": b"user,item\n1,2\n2,3\n",
    "tsv": b"user\titem\n1\t2\n2\t3\n",
    "inter": b"user_id\titem_id\n1\t2\n2\t3\n",
    "jsonl": b'{"user": 1, "item": 2}\n{"user": 2, "item": 3}\n',
    "json": b'[{"user": 1, "item": 2}, {"user": 2, "item": 3}]',
    "txt": b"1 2\n2 3\n",
}


@pytest.mark.parametrize("ending", [*CONTENTS, "parquet", "npz", "npy"])
def test_a_damaged_gzip_file_of_any_format_is_a_data_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}.gz"
    whole = gzip.compress(content_of(tmp_path, ending))
    path.write_bytes(whole)
    assert roles(path) == [("1", "2"), ("2", "3")]
    middle = len(whole) // 2
    for damaged in (whole[:-9], whole[:12], b"us" + whole, flip(whole, middle), flip(whole, 3)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.\w+\.gz"):
            roles(path)


@pytest.mark.parametrize("ending", ["parquet", "npz", "npy"])
def test_a_damaged_binary_file_is_a_data_error(tmp_path: Path, ending: str) -> None:
    """Every single byte is spoilt in turn: what is still read must be a table."""
    whole = content_of(tmp_path, ending)
    path = tmp_path / f"b.{ending}"
    refused = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(flip(whole, position))
        try:
            roles(path)
        except DataError:
            refused += 1
        path.write_bytes(whole[:position])
        with pytest.raises(DataError):
            roles(path)
    assert refused


def test_an_array_that_claims_terabytes_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1, 2, 3], [4, 5, 6]]))
    path.write_bytes(path.read_bytes().replace(b"(2, 3), }      ", b"(2, 3000000000)"))
    with pytest.raises(DataError, match=r"a\.npy cannot be read as npy"):
        roles(path)


def flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def content_of(folder: Path, ending: str) -> bytes:
    path = folder / f"whole.{ending}"
    users, items = np.array([1, 2]), np.array([2, 3])
    match ending:
        case "parquet":
            pl.DataFrame({"user": users, "item": items}).write_parquet(path)
        case "npz":
            np.savez(path, user=users, item=items)
        case "npy":
            np.save(path, np.stack([users, items]))
        case _:
            return CONTENTS[ending]
    return path.read_bytes()


def test_arrays_of_two_lengths_are_named(tmp_path: Path) -> None:
    """The message said that there was no such array."""
    np.savez(tmp_path / "a.npz", user=np.arange(3), item=np.arange(2))
    with pytest.raises(DataError, match=r"'item' has shape \(2,\), but 'user' has \(3,\)"):
        roles(tmp_path / "a.npz")


def test_a_sparse_matrix_of_scipy_names_a_remedy_that_works(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_array(np.array([[0, 2.0], [3.0, 0]]))
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    with pytest.raises(DataError, match=r"sparse matrix.*tocoo\(\).*data\.user = \"row\""):
        roles(tmp_path / "a.npz")
    scipy.sparse.save_npz(tmp_path / "b.npz", matrix.tocoo())
    found = roles(tmp_path / "b.npz", user="row", item="col", weight="data")
    assert found == [("0", "1", 2.0), ("1", "0", 3.0)]


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "us", "ns"])
def test_dates_of_numpy_are_times_in_every_unit(tmp_path: Path, unit: str) -> None:
    times = np.array(["2020-09-13"], dtype=f"M8[{unit}]")
    np.savez(tmp_path / "a.npz", user=np.array([1]), item=np.array([2]), t=times)
    assert roles(tmp_path / "a.npz", time="t") == [("1", "2", 1_599_955_200)]
