import hashlib
import os
from pathlib import Path

import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.features.content.sources import file_content, text_content, text_file_content

IDS = pl.Series(["a", "b", "c"])


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"a": b"one", "b": b"", "stray": b"two", "c": b"one"}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_text_columns_are_joined_and_hashed():
    table = pl.DataFrame(
        {"title": ["red", None, "  "], "tags": [["x", "y"], ["z"], None]},
        schema={"title": pl.String, "tags": pl.List(pl.String)},
    )
    found = text_content(table, IDS, ("title", "tags")).table
    assert found["source"].to_list() == ["red x y", "z", ""]
    assert found["key"].to_list() == [sha(b"red x y"), sha(b"z"), None]
    assert found["reason"].to_list() == [None, None, "no text"]


def test_texts_that_differ_in_case_only_have_keys_of_their_own():
    """Many networks tell cases apart: one row for both would be the row of the other text."""
    table = pl.DataFrame({"title": ["Apple", "apple", "APPLE"]})
    found = text_content(table, IDS, ("title",)).table
    assert found["key"].to_list() == [sha(b"Apple"), sha(b"apple"), sha(b"APPLE")]


def test_an_absent_text_column_is_named():
    with pytest.raises(DataError, match=r"no column 'titel'.*'title'"):
        text_content(pl.DataFrame({"title": ["x"] * 3}), IDS, ("titel",))


def test_text_files_are_read_and_bad_ones_are_missing_each_with_its_reason(tmp_path):
    contents = {"a": b" a caf\xc3\xa9\n", "b": b"caf\xe9", "c": b"  \n", "d": b"", "x": b"stray"}
    for name, content in contents.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    found = text_file_content(None, pl.Series(list("abcde")), f"{tmp_path}/{{item}}.txt")
    assert found.table["source"][0] == "a caf\u00e9"
    assert found.table["key"].to_list() == [sha("a caf\u00e9".encode()), *[None] * 4]
    assert found.table["reason"].to_list() == [
        *(None, "not UTF-8: byte 3 is 0xe9", "no text", "empty file", "no file")
    ]
    assert found.unused == 1


def test_files_are_found_by_item_id(folder):
    content = file_content(None, IDS, f"{folder}/{{item}}.jpg")
    assert content.table["item"].to_list() == ["a", "b", "c"]
    assert content.table["key"].to_list() == [sha(b"one"), None, sha(b"one")]
    assert content.table["reason"].to_list() == [None, "empty file", None]


def test_files_without_an_item_are_counted(folder):
    assert file_content(None, IDS, f"{folder}/{{item}}.jpg").unused == 1


def test_files_are_found_by_a_column(folder):
    items = pl.DataFrame({"poster": ["c.jpg", None, "gone.jpg"]})
    found = file_content(items, IDS, f"{folder}/{{poster}}").table
    assert found["key"].to_list() == [sha(b"one"), None, None]
    assert found["reason"].to_list() == [None, "no path in the item table", "no file"]


def test_a_column_may_hold_whole_paths(folder):
    items = pl.DataFrame({"poster": [str(folder / "a.jpg"), str(folder), "x\0y"]})
    content = file_content(items, IDS, "{poster}")
    assert content.table["key"].to_list() == [sha(b"one"), None, None]
    assert content.table["reason"][1] == "unreadable file: Is a directory"
    assert content.table["reason"][2] == "unreadable file: embedded null byte"
    assert content.unused == 0


def test_a_missing_folder_is_an_error_not_a_thousand_missing_items(tmp_path):
    with pytest.raises(DataError, match=r"folder .*posters.* does not exist"):
        file_content(None, IDS, f"{tmp_path}/posters/{{item}}.jpg")


def test_an_absent_path_column_is_named(folder):
    with pytest.raises(DataError, match=r"no column 'postr'.*'poster'"):
        file_content(pl.DataFrame({"poster": ["x"] * 3}), IDS, f"{folder}/{{postr}}")


def reasons_of(pattern: str, ids: list[str], items: pl.DataFrame | None = None) -> list[str | None]:
    return file_content(items, pl.Series(ids, dtype=pl.String), pattern).table["reason"].to_list()


def test_no_item_id_leads_out_of_the_folder(folder, monkeypatch):
    """Ids come with the data: one that climbs would feed any file of the machine to an encoder."""
    posters, secret = folder / "posters", folder / "secret.jpg"
    (posters / "sub").mkdir(parents=True)
    secret.write_bytes(b"secret")
    (posters / "in.jpg").write_bytes(b"one")
    (posters / "sub" / "in.jpg").write_bytes(b"two")
    (posters / "link.jpg").symlink_to(secret)
    (posters / "door").symlink_to(folder)
    (posters / "near.jpg").symlink_to(posters / "in.jpg")
    out = f"its path leads out of the folder {posters}"
    ids = ["in", "sub/in", "sub/../in", "near", "../secret", "sub/../../secret", "link"]
    ids += ["door/secret", "..\\secret", str(secret.with_suffix("")), "x\0y"]
    found = reasons_of(f"{posters}/{{item}}.jpg", ids)
    assert found == [None] * 4 + [out] * 5 + ["no file", "unreadable file: embedded null byte"]
    monkeypatch.chdir(posters)
    found = reasons_of("{item}.jpg", ["in", "../secret", str(secret.with_suffix("")), "link"])
    assert found == [None] + ["its path leads out of the folder ."] * 3


def test_no_column_leads_out_of_the_folder_that_stands_before_it(folder):
    (folder / "posters").mkdir()
    items = pl.DataFrame({"poster": ["../a.jpg", "a.jpg"]})
    found = reasons_of(f"{folder}/posters/{{poster}}", ["a", "b"], items)
    assert found == [f"its path leads out of the folder {folder}/posters", "no file"]


def test_an_item_id_stays_in_the_folder_that_a_column_names(folder):
    (folder / "posters").mkdir()
    items = pl.DataFrame({"where": [str(folder), str(folder / "posters"), str(folder)]})
    found = reasons_of("{where}/{item}.jpg", ["a", "../a", "c"], items)
    assert found == [None, f"its path leads out of the folder {folder}/posters", None]


def test_a_pipe_is_no_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert reasons_of(f"{tmp_path}/{{item}}.jpg", ["a"]) == ["unreadable file: a pipe or device"]


def test_a_text_file_that_goes_away_is_missing(folder, monkeypatch):
    def gone(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", gone)
    found = text_file_content(None, pl.Series(["a"]), f"{folder}/{{item}}.jpg").table
    assert found["reason"].to_list() == ["unreadable file: Permission denied"]


@pytest.mark.data
def test_real_posters_lack_19_films():
    folder = os.environ.get("GRAPHREC_DATA")
    if folder is None:
        pytest.skip("GRAPHREC_DATA names no folder with data sets")
    ids = pl.Series(range(1, 1683)).cast(pl.String)
    content = file_content(None, ids, f"{folder}/ml-100k/posters/{{item}}.jpg")
    assert content.table["reason"].value_counts(sort=True).rows() == [(None, 1663), ("no file", 19)]
    assert content.unused == 0


def test_lists_of_lists_are_joined_and_objects_and_bytes_are_no_text():
    nested = pl.DataFrame({"c": [[["red", "blue"], ["green"]], [[]], None]})
    assert text_content(nested, IDS, ("c",)).table["source"].to_list() == ["red blue green", "", ""]
    for value in ({"x": 1}, [{"x": 1}], b"\xff"):
        with pytest.raises(DataError, match="column 'c' holds"):
            text_content(pl.DataFrame({"c": [value] * 3}), IDS, ("c",))


def test_the_byte_order_mark_of_a_text_file_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfplot")
    found = text_file_content(None, pl.Series(["a"]), f"{tmp_path}/{{item}}.txt")
    assert found.table["source"].to_list() == ["plot"]


@pytest.mark.parametrize("name", ["loop", "there/loop"])
def test_a_link_to_itself_is_an_unreadable_file(tmp_path, name):
    """It was a traceback: RuntimeError, symlink loop."""
    (tmp_path / "there").mkdir()
    for each in ("loop", "there/loop"):
        (tmp_path / f"{each}.jpg").symlink_to(tmp_path / f"{each}.jpg")
    assert reasons_of(f"{tmp_path}/{{item}}.jpg", [name]) == ["unreadable file: a loop of links"]
