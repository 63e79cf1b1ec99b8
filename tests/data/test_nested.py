from pathlib import Path

import polars as pl
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import load
from graphrec.data.config import DataConfig
from graphrec.data.nested import flat_lists, flatten_objects, literal_lists
from graphrec.data.readers import read_interactions

STEAM = (
    '{"user_id": "u1", "items": [{"item_id": "3", "hours": 40}, {"item_id": "1", "hours": 2}]}\n'
    '{"user_id": "u2", "items": []}\n'
    '{"user_id": "u3", "items": [{"item_id": "3", "hours": 7}]}\n'
)
MIND = (
    "i1\tU1\tN1 N2\tN3-1 N1-0\n"
    "i2\tU1\tN1 N2\tN2-1 N1-0\n"
    "i3\tU2\tN2 N1 N3\tN3-0 N1-1\n"
    "i4\tU3\t\tN3-0 N2-1\n"
)


def roles(path: Path, text: str, **settings: object) -> list[tuple[object, ...]]:
    path.write_text(text)
    frame = read_interactions(path, DataConfig.model_validate({"path": path, **settings}))
    return frame.select(name for name in frame.columns if name[0] == "@" and name != "@row").rows()


def test_lists_of_events_per_user_are_refused_with_the_setting_that_unrolls_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "steam.jsonl"
    remedy = r'data\.unroll = "items" and data\.item = "items\.item_id"'
    with pytest.raises(DataError, match=rf"column 'items'.*List.*{remedy}"):
        roles(path, STEAM, user="user_id", item="items")
    found = roles(
        path, STEAM, user="user_id", item="items.item_id", weight="items.hours", unroll="items"
    )
    assert found == [("u1", "3", 40), ("u1", "1", 2), ("u3", "3", 7)]


def test_python_lines_unroll_alike(tmp_path: Path) -> None:
    settings = {"user": "user_id", "item": "items.item_id", "unroll": ["items"]}
    found = roles(
        tmp_path / "steam.json", STEAM.replace('"', "'"), format="python_lines", **settings
    )
    assert found == [("u1", "3"), ("u1", "1"), ("u3", "3")]


def test_several_ids_in_one_field_are_refused_or_cut_by_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv"
    columns = {"user": "column_2"}
    with pytest.raises(DataError, match=r"'column_3'.* several ids.*data\.unroll = \"column_3\""):
        roles(path, MIND, item="column_3", **columns)
    history = {"item": "column_3", "unroll": "column_3", "unroll_separator": " "}
    found = roles(path, MIND, **history, **columns)
    assert found[:5] == [("U1", "N1"), ("U1", "N2"), ("U1", "N1"), ("U1", "N2"), ("U2", "N2")]
    with pytest.raises(ConfigError, match=r"'column_3'.*is text.*Set data\.unroll_separator"):
        roles(path, MIND, item="column_3", unroll="column_3", **columns)


def test_rules_see_the_entries_so_that_clicks_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv"
    path.write_text(MIND)
    dataset = load(
        DataConfig.model_validate(
            {
                "path": path,
                "user": "column_2",
                "item": "column_4",
                "unroll": "column_4",
                "unroll_separator": " ",
                "clean": {"rules": [{"column": "column_4", "keep": "-1$"}]},
            }
        )
    )
    assert dataset.item_ids.to_list() == ["N1-1", "N2-1", "N3-1"]
    assert len(dataset.interactions) == 4


def test_sequences_of_recbole_are_refused_or_cut_at_spaces(tmp_path: Path) -> None:
    path = tmp_path / "x.inter"
    text = "user_id:token\titem_id_list:token_seq\nu\t1 2\nv\t2\n"
    with pytest.raises(DataError, match=r"'item_id_list'.*token_seq.*data\.unroll"):
        roles(path, text, item="item_id_list")
    found = roles(path, text, item="item_id_list", unroll="item_id_list")
    assert found == [("u", "1"), ("u", "2"), ("v", "2")]


def test_lists_side_by_side_share_rows_and_must_be_equally_long(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    text = '{"user": 1, "item": ["a", "b"], "t": [5, 6]}\n{"user": 2, "item": ["a"], "t": [7]}\n'
    found = roles(path, text, unroll=["item", "t"], time="t")
    assert found == [("1", "a", 5), ("1", "b", 6), ("2", "a", 7)]
    with pytest.raises(DataError, match=r"row 2: column 'item' holds 1 entries, but 't' holds 2"):
        roles(path, text.replace("[7]", "[7, 8]"), unroll=["item", "t"], time="t")


def test_literal_lists_in_text_are_unrolled_and_refused_as_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "user,item\n1,\"['a', 'b']\"\n2,\"['c']\"\n"
    with pytest.raises(DataError, match=r"several ids in each field, such as \"\['a', 'b'\]\""):
        roles(path, text)
    assert roles(path, text, unroll="item") == [("1", "a"), ("1", "b"), ("2", "c")]
    with pytest.raises(DataError, match=r"row 2: column 'item' holds .* is none"):
        roles(path, text.replace("'c'", "'c' d"), unroll="item")


def test_names_of_several_words_are_ids(tmp_path: Path) -> None:
    """A film is seen by several users; a sequence belongs to one."""
    titles = ["Toy Story", "Toy Soldiers", "The Story", "The Toy"]
    text = "user,item\n" + "".join(f"{u},{t}\n" for u in range(3) for t in titles)
    assert len(roles(tmp_path / "a.csv", text)) == 12


def test_columns_that_cannot_be_unrolled_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    text = '{"user": 1, "item": ["a"]}\n'
    with pytest.raises(DataError, match=r"no column 'itm', which data\.unroll.*item"):
        roles(path, text, unroll="itm")
    with pytest.raises(DataError, match=r"'user' holds Int64.*Take it out of data\.unroll"):
        roles(path, text, unroll="user")
    with pytest.raises(ConfigError, match=r"unroll_separator has no effect.*holds lists"):
        roles(path, text, unroll="item", unroll_separator=" ")


def test_objects_become_columns_of_their_fields(tmp_path: Path) -> None:
    text = '{"user": {"id": 1}, "item": {"asin": {"de": "x"}}}\n'
    found = roles(tmp_path / "a.jsonl", text, user="user.id", item="item.asin.de")
    assert found == [("1", "x")]
    frame = pl.DataFrame({"a": [{"b": 1}], "a.b": [2]})
    with pytest.raises(DataError, match=r"field 'a\.b'.*is also the name of a column"):
        flatten_objects(frame, tmp_path)


def test_lists_of_lists_are_flattened_and_lists_of_objects_refused() -> None:
    nested = pl.Series("c", [[["a", "b"], ["c"]], [["d"], None], [], None])
    flat = flat_lists(nested)
    assert flat is not None
    assert flat.to_list() == [["a", "b", "c"], ["d"], [], None]
    assert flat_lists(pl.Series(["a"])) is None
    square = pl.Series([[[1, 2]]], dtype=pl.Array(pl.Array(pl.Int64, 2), 1))
    assert flat_lists(square).to_list() == [["1", "2"]]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"column 'o' holds lists of objects with the fields x, y"):
        flat_lists(pl.Series("o", [[{"x": 1, "y": 2}]]))


def test_text_that_only_starts_like_a_list_is_left_alone() -> None:
    assert literal_lists(pl.Series(["[a", "b"]), "x") is None
    found = literal_lists(pl.Series(["['a']", None, "[]"]), "x")
    assert found is not None
    assert found.to_list() == [["a"], None, []]


def test_lists_of_lists_of_events_are_unrolled_wholly(tmp_path: Path) -> None:
    """The advice was to set ``data.unroll``, which was set."""
    path = tmp_path / "a.jsonl"
    text = '{"user": 1, "item": [["a", "b"], ["c"]], "t": [10, 20]}\n'
    assert roles(path, text, unroll="item") == [("1", "a"), ("1", "b"), ("1", "c")]
    found = roles(path, text, unroll=["item", "t"], time="t")
    assert found == [("1", "a", 10), ("1", "b", 10), ("1", "c", 20)]


def test_a_column_is_unrolled_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names 'item' more than once"):
        roles(tmp_path / "a.jsonl", '{"user": 1, "item": [1]}\n', unroll=["item", "item"])


@pytest.mark.parametrize("field", ["['a' 'b']", "['a'\n 'b']", "[1 2]"])
def test_a_printed_array_of_numpy_is_no_list(tmp_path: Path, field: str) -> None:
    """``['a' 'b']`` was the one id ``ab``, as Python joins texts that stand side by side."""
    path = tmp_path / "a.csv"
    text = f'user,item\nu,"{field}"\n'
    with pytest.raises(DataError, match=r"row 1: .*data\.unroll_separator"):
        roles(path, text, unroll="item")
    found = roles(path, text, unroll="item", unroll_separator=" ")
    assert found == ([("u", "1"), ("u", "2")] if "1" in field else [("u", "a"), ("u", "b")])


def test_brackets_around_entries_between_separators_are_no_part_of_them(tmp_path: Path) -> None:
    text = "user;item\nu;[1, 2]\nv;[]\nw;[3]\n"
    found = roles(tmp_path / "a.csv", text, separator=";", unroll="item", unroll_separator=",")
    assert found == [("u", "1"), ("u", "2"), ("w", "3")]


@pytest.mark.parametrize(
    "fields",
    [
        ["N55689-1 N35729-0", "N20678-0 N39317-0 N58114-1"],
        ["1 2 3", "4 5 6"],
        ["1 2 3", "4", "5", "1"],
    ],
)
def test_few_lines_of_several_ids_are_refused(tmp_path: Path, fields: list[str]) -> None:
    """In a short file hardly any token recurs."""
    text = "user\titem\n" + "".join(f"u{row}\t{each}\n" for row, each in enumerate(fields))
    with pytest.raises(DataError, match=r'Set data\.unroll = "item"'):
        roles(tmp_path / "a.tsv", text)


@pytest.mark.parametrize(
    "names", [["Toy Story", "Toy Box"], ["Apollo 13", "Se7en"], ["555 01 99"] * 2]
)
def test_names_and_numbers_with_blanks_are_ids(tmp_path: Path, names: list[str]) -> None:
    text = "user\titem\n" + "".join(f"u{row}\t{each}\n" for row, each in enumerate(names))
    assert [row[1] for row in roles(tmp_path / "a.tsv", text)] == names
