from pathlib import Path

import polars as pl
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Dataset, load
from graphrec.data.config import DataConfig
from graphrec.data.vocabulary import Vocabulary

ROWS = ["10,b,3,red", "2,a,2,blue", "10,a,1,red", "2,c,5,", "2,c,4,green"]


def load_rows(folder: Path, rows: list[str], **settings: object) -> Dataset:
    path = folder / "toy.csv"
    path.write_text("\n".join(["user,item,n,colour", *rows]) + "\n")
    return load(DataConfig.model_validate({"path": path, **settings}))


def test_integers_sort_by_value_and_text_as_text(tmp_path: Path) -> None:
    dataset = load_rows(tmp_path, ROWS)
    assert dataset.name == "toy"
    assert dataset.user_ids.to_list() == ["2", "10"]
    assert dataset.item_ids.to_list() == ["a", "b", "c"]
    assert dataset.interactions.users.tolist() == [0, 0, 1, 1]
    assert dataset.interactions.items.tolist() == [0, 2, 0, 1]


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    settings = {"time": "n", "weight": "n", "clean": {"duplicates": "last"}}
    there = load_rows(tmp_path, ROWS, **settings)
    back = load_rows(tmp_path, ROWS[::-1], **settings)
    assert there.fingerprint == back.fingerprint


def test_leading_zeros_keep_ids_apart() -> None:
    assert Vocabulary.of(pl.Series(["7", "007", "10"]), None, "user", "x").ids.to_list() == [
        "007",
        "10",
        "7",
    ]


def test_declared_ids_include_those_without_interactions(tmp_path: Path) -> None:
    rows = ["0,3,1,", "4,0,1,"]
    dataset = load_rows(tmp_path, rows, num_users=6, num_items=5)
    assert (dataset.interactions.num_users, dataset.interactions.num_items) == (6, 5)
    assert dataset.user_ids.to_list() == ["0", "1", "2", "3", "4", "5"]
    assert dataset.interactions.items.tolist() == [3, 0]


@pytest.mark.parametrize("bad", ["4", "x", "-1", "03"])
def test_ids_outside_the_declared_range_are_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(DataError, match=rf"user id '{bad}' is not one of 0\.\.3.*num_users = 4"):
        load_rows(tmp_path, ["0,1,1,", f"{bad},1,1,"], num_users=4)


def test_a_given_split_unites_the_ids_of_its_files(tmp_path: Path) -> None:
    for name, text in {"train": "0 1 2\n1 2\n", "valid": "0 3\n", "test": "1 4\n2 1\n"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    files = {name: tmp_path / f"{name}.txt" for name in ("train", "valid", "test")}
    dataset = load(DataConfig.model_validate(files))
    assert dataset.user_ids.to_list() == ["0", "1", "2"]
    assert dataset.item_ids.to_list() == ["1", "2", "3", "4"]
    assert dataset.parts is not None
    assert dataset.parts.tolist() == [0, 0, 1, 0, 2, 2]


def test_a_pair_in_two_parts_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 1 2\n")
    (tmp_path / "test.txt").write_text("0 2 3\n")
    config = DataConfig(train=tmp_path / "train.txt", test=tmp_path / "test.txt")
    with pytest.raises(DataError, match=r"user '0', item '2'.*both the train and the test part"):
        load(config)


def test_a_split_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,part\n1,2,0\n")
    config = DataConfig(train=tmp_path / "a.csv", test=tmp_path / "a.csv", label="part")
    with pytest.raises(ConfigError, match=r"a\.csv names the part of each row itself"):
        load(config)
    with pytest.raises(ConfigError, match=r"data\.arrays is for \.npz files.*a\.csv"):
        load(DataConfig(path=tmp_path / "a.csv", arrays={"train": "x"}))


def test_labels_make_a_given_split(tmp_path: Path) -> None:
    rows = ["1,a,0,train", "1,b,0,valid", "2,b,0,test", "2,a,0,train"]
    dataset = load_rows(tmp_path, rows, label="colour")
    assert dataset.parts is not None
    assert dataset.parts.tolist() == [0, 1, 0, 2]


def test_item_file_is_aligned_by_id_and_counts_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\nc,See\na,Ay\nz,Zed\n")
    dataset = load_rows(tmp_path, ROWS, items=tmp_path / "items.csv")
    assert dataset.item_table is not None
    assert dataset.item_table.to_dict(as_series=False) == {"title": ["Ay", None, "See"]}
    note = "1 items have no row; 1 rows belong to no item; 0 rows have no id"
    assert dataset.steps[-1].note == note


def test_repeated_items_in_the_item_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\na,One\nb,Two\na,Three\n")
    with pytest.raises(DataError, match=r"items\.csv: item 'a' has more than one row"):
        load_rows(tmp_path, ROWS, items=tmp_path / "items.csv")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"column": "n", "take": "median"}, [1.5, 3.0, 4.5]),
        ({"column": "n", "take": "mean"}, [1.5, 3.0, 4.5]),
        ({"column": "n", "take": "first"}, ["1", "3", "4"]),
        ({"column": "n", "take": "last"}, ["2", "3", "5"]),
        ({"column": "colour"}, ["blue", "red", "green"]),  # a tie goes to the smallest
        ({"column": "colour", "pattern": "^(r|b)"}, ["b", "r", None]),
        ({"column": "colour", "pattern": "e."}, [None, None, "ee"]),
    ],
)
def test_item_columns_from_interaction_rows(
    tmp_path: Path, column: dict[str, str], expected: list[object]
) -> None:
    rows = ROWS if column.get("pattern") != "e." else ["1,a,1,r", "1,b,1,b", "1,c,1,green"]
    dataset = load_rows(tmp_path, rows, time="n", item_columns={"value": column})
    assert dataset.item_table is not None
    assert dataset.item_table["value"].to_list() == expected


def test_item_columns_come_from_the_rows_that_the_rules_leave(tmp_path: Path) -> None:
    dataset = load_rows(
        tmp_path,
        ROWS,
        clean={"rules": [{"column": "n", "min": 2}]},
        item_columns={"n": {"column": "n", "take": "mean"}},
    )
    assert dataset.item_table is not None
    assert dataset.item_table["n"].to_list() == [2.0, 3.0, 4.5]


def test_bad_item_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'color', which data\.item_columns\.c"):
        load_rows(tmp_path, ROWS, item_columns={"c": {"column": "color"}})
    with pytest.raises(DataError, match=r"holds 'red', which is not a number.*item_columns\.c"):
        load_rows(tmp_path, ROWS, item_columns={"c": {"column": "colour", "take": "mean"}})
    with pytest.raises(ValueError, match=r"item_columns\.c\.pattern = '\('"):
        load_rows(tmp_path, ROWS, item_columns={"c": {"column": "colour", "pattern": "("}})


def test_blank_text_in_the_item_table_is_missing(tmp_path: Path) -> None:
    (tmp_path / "items.tsv").write_text("item\ttitle\na\t \nb\tBe\n")
    dataset = load_rows(tmp_path, ROWS, items=tmp_path / "items.tsv")
    assert dataset.item_table is not None
    assert dataset.item_table["title"].to_list() == [None, "Be", None]


@pytest.mark.parametrize("given", ["ratings.csv", "./folder/ratings", Path("ratings.csv"), {}])
def test_what_is_no_name_of_a_data_set_says_how_to_read_a_file(given: object) -> None:
    """A path was an unknown data set, and a Path or a dictionary an AttributeError."""
    with pytest.raises(ConfigError, match=r"load\(DataConfig\(path="):
        load(given)  # type: ignore[arg-type]
