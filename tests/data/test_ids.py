"""Ids of two spellings are refused or said; each test names a file that was misread before."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.data import Dataset, load
from graphrec.data.config import CleanConfig, DataConfig
from graphrec.features.tabular.matrices import FileConfig, FileEncoder


def table(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def loaded(folder: Path, rows: Sequence[str], clean: CleanConfig | None = None) -> Dataset:
    path = table(folder / "pairs.csv", "user,item", rows)
    return load(DataConfig(path=path, clean=clean or CleanConfig()))


def with_items(folder: Path, items: Sequence[str], ids: Sequence[str]) -> Dataset:
    pairs = table(
        folder / "pairs.csv", "user,item", [f"u{i % 3},{each}" for i, each in enumerate(items)]
    )
    rows = [f"{each},Title {each}" for each in ids]
    return load(DataConfig(path=pairs, items=table(folder / "items.csv", "item,title", rows)))


# Texts that stand for no id.


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "NULL", "NA", "<NA>"])
def test_a_text_for_nothing_is_no_user(
    word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of the user ``nan`` were one user with the histories of all unknown ones."""
    dataset = loaded(tmp_path, ["a,x", f"{word},x", f"{word},y", "b,y", f"b,{word}", ",x"])
    assert dataset.user_ids.to_list() == ["a", "b"]
    assert dataset.item_ids.to_list() == ["x", "y"]
    assert (dataset.steps[0].rows_in, dataset.steps[0].rows_out) == (6, 2)
    assert f"column 'user' holds {word!r} in 2 rows" in caplog.text
    assert f"column 'item' holds {word!r} in 1 row," in caplog.text
    assert "data.clean.missing_ids" in caplog.text


def test_a_user_may_be_called_none_if_that_is_said(tmp_path: Path) -> None:
    clean = CleanConfig(missing_ids=("nan",))
    dataset = loaded(tmp_path, ["none,x", "nan,x", "b,y"], clean)
    assert dataset.user_ids.to_list() == ["b", "none"]


# Blanks.


def test_blanks_around_ids_are_cut_off_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = loaded(tmp_path, ["a, x", "a ,y", "b,x", "b,y\t"])
    assert dataset.user_ids.to_list() == ["a", "b"]
    assert dataset.item_ids.to_list() == ["x", "y"]
    assert (
        "column 'user' are cut off in 1 row, the first is 'a '; 1 id is so made equal"
        in caplog.text
    )
    assert "column 'item' are cut off in 2 rows, the first is ' x'" in caplog.text


def test_an_item_table_may_have_blanks_where_the_data_have_none(tmp_path: Path) -> None:
    dataset = with_items(tmp_path, ["x", "y"], [" x", "y "])
    assert dataset.item_table is not None
    assert dataset.item_table["title"].null_count() == 0


# 12 and 12.0.


@pytest.mark.parametrize("column", ["user", "item"])
def test_one_number_in_two_forms_is_refused(column: str, tmp_path: Path) -> None:
    """``12`` and ``12.0`` were two users; the halves of a split did not know each other."""
    rows = ["12,x", "12.0,y", "7,x"] if column == "user" else ["x,12", "y,12.0", "x,7"]
    with pytest.raises(DataError, match=rf"{column} ids hold both '12' and '12\.0' \(1 such id\)"):
        loaded(tmp_path, rows)


def test_one_number_in_two_forms_is_refused_across_the_parts_of_a_split(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", "user,item", ["1,5", "2,6"])
    test = table(tmp_path / "test.csv", "user,item", ["1.0,6", "2.0,5"])
    with pytest.raises(DataError, match=r"user ids hold both '1' and '1\.0'"):
        load(DataConfig(train=train, test=test))


def test_floats_that_cannot_tell_ids_apart_are_refused(tmp_path: Path) -> None:
    users = pl.Series("user", [2.0**53, 2.0**53 + 2])
    for dtype, ids in ((pl.Float64, users), (pl.Float32, users / 2**20)):
        pl.DataFrame({"user": ids.cast(dtype), "item": ["x", "y"]}).write_parquet(
            tmp_path / "a.parquet"
        )
        with pytest.raises(DataError, match=r"column 'user' holds the id .* as Float.. ?, which"):
            load(DataConfig(path=tmp_path / "a.parquet"))


def test_ids_that_are_lists_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user": ["a"], "item": [["x", "y"]]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"column 'item', which data.item names, holds List\(String\)"
    ):
        load(DataConfig(path=tmp_path / "a.parquet"))


# Item tables and features of other ids.


@pytest.mark.parametrize(
    ("items", "ids", "difference"),
    [
        (["1", "2", "3"], ["1.0", "2.0", "3.0"], "they differ in the '.0' at the end"),
        (["1", "2", "3"], ["001", "002", "003"], "they differ in zeros at the start"),
        (["ab", "cd"], ["AB", "CD"], "they differ in upper and lower case"),
        (["a", "b"], ["a.jpg", "b.jpg"], "they differ in the ending of a file name"),
        (["a", "b"], ["x", "y"], ""),
    ],
)
def test_an_item_table_of_which_nothing_fits_is_refused(
    items: list[str], ids: list[str], difference: str, tmp_path: Path
) -> None:
    """A table of other ids gave every item no content, without a word."""
    with pytest.raises(DataError) as error:
        with_items(tmp_path, items, ids)
    message = str(error.value)
    assert f"of its {len(ids)} ids, none is one of the {len(items)} items" in message
    assert f"the data have {items[0]!r}, the file has {ids[0]!r}" in message
    assert difference in message
    assert "items.csv" in message and "data.items_id" in message


def test_an_item_table_that_mostly_does_not_fit_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_items(tmp_path, ["a", "b", "c", "d", "e"], ["a", "b", "x", "y", "z"])
    assert "only 2 of 5 items have a row, and 3 of 5 rows belong to no item" in caplog.text
    assert "the data have 'c', the file has 'x'" in caplog.text


def test_a_large_catalogue_over_few_items_is_no_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_items(tmp_path, ["a", "b"], ["a", *(f"x{i}" for i in range(50))])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_empty_item_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of its 0 ids, none is one of the 2 items"):
        with_items(tmp_path, ["a", "b"], [])


def features(folder: Path, ids: Sequence[str], items: Sequence[str]) -> np.ndarray:
    np.save(folder / "f.npy", np.arange(1, len(ids) + 1, dtype=np.float32)[:, None])
    (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    config = FileConfig(encoder="file", path=folder / "f.npy", ids=folder / "ids.txt")
    return FileEncoder(config).encode(None, pl.Series(items)).values[:, 0]


def test_feature_ids_of_which_nothing_fits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"of its 2 ids, none.*have '1', the file has '1\.0'.*'\.0'"
    ):
        features(tmp_path, ["1.0", "2.0"], ["1", "2"])


def test_feature_ids_that_mostly_do_not_fit_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert features(tmp_path, ["a", "x"], ["a", "b", "c"]).tolist() == [1, 0, 0]
    assert "only 1 of 3 items have a row, and 1 of 2 rows belong to no item" in caplog.text


def test_blanks_around_feature_ids_are_cut_off(tmp_path: Path) -> None:
    assert features(tmp_path, ["b ", " a"], ["a", "b"]).tolist() == [2, 1]


def test_an_item_table_with_one_number_in_two_forms_is_refused(tmp_path: Path) -> None:
    """The row ``2.0`` belonged to no item and was left out without a warning."""
    with pytest.raises(DataError, match=r"items\.csv: the item ids hold both '1' and '1\.0'"):
        with_items(tmp_path, ["1", "2"], ["1", "1.0", "2"])


@pytest.mark.parametrize(("dtype", "limit"), [(pl.Float32, 2**24), (pl.Float64, 2**53)])
def test_the_first_float_that_stands_for_two_integers_is_refused(
    tmp_path: Path, dtype: pl.DataType, limit: int
) -> None:
    ids = pl.Series("user", [limit + 1, 5]).cast(dtype)
    pl.DataFrame({"user": ids, "item": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="cannot tell such numbers apart"):
        load(DataConfig(path=tmp_path / "a.parquet"))


def test_a_large_id_beside_a_fraction_is_refused(tmp_path: Path) -> None:
    """9007199254740993 was the id ``9007199254740992.0``."""
    (tmp_path / "a.jsonl").write_text(
        '{"user": 9007199254740993, "item": 1}\n{"user": 1.5, "item": 1}\n'
    )
    with pytest.raises(DataError, match="cannot tell such numbers apart"):
        load(DataConfig(path=tmp_path / "a.jsonl"))
