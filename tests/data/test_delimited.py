import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec.core.errors import DataError
from graphrec.data.config import Format
from graphrec.data.delimited import _split, _split_fast, read_delimited
from graphrec.data.sources import Source

Rows = list[tuple[str | None, ...]]


def read(
    path: Path, text: str, id_column: str = "user", kind: Format = "csv", **settings: str
) -> Rows:
    path.write_bytes(text.encode())
    return read_delimited(Source(path, kind, **settings), id_column).rows()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a"


def test_a_quote_inside_of_a_field_is_a_character(path: Path) -> None:
    """Polars took the inch mark for an opening quote and lost the lines behind it."""
    text = 'user,item,note\n1,2,7" disc\n2,3,5" x 7"\n3,4,x\n'
    assert read(path, text) == [("1", "2", '7" disc'), ("2", "3", '5" x 7"'), ("3", "4", "x")]


def test_quoted_fields_hold_separators_ends_of_lines_and_doubled_quotes(path: Path) -> None:
    text = 'user,note\r\n1,"a,b"\r\n2,"two\r\nlines"\r\n3,"say ""x"""\r\n4,""\r\n'
    found = [("1", "a,b"), ("2", "two\nlines"), ("3", 'say "x"'), ("4", None)]
    assert read(path, text) == found


@pytest.mark.parametrize("field", ['"7" disc', '"disc', '"a" b'])
def test_a_stray_quote_is_refused_by_line_with_its_text_and_the_setting(
    path: Path, field: str
) -> None:
    text = f"user,item,note\n1,2,x\n2,3,{field}\n3,4,y\n"
    with pytest.raises(DataError, match=rf"line 3: '2,3,{field}'.*data\.quote = 'none'"):
        read(path, text)
    assert read(path, text, quote="none")[1] == ("2", "3", field)


def test_single_quotes_enclose_fields_where_the_setting_says_so(path: Path) -> None:
    assert read(path, "user,note\n1,'a,b'\n2,\"c\"\n", quote="'") == [("1", "a,b"), ("2", '"c"')]


@pytest.mark.parametrize("field", ['"two\nlines"', '"x"', '"a\tb"', '"a ""b"""'])
def test_a_tsv_file_that_reads_well_with_and_without_quotes_is_refused(
    path: Path, field: str
) -> None:
    text = f"user\tnote\n1\tx\n2\t{field}\n"
    with pytest.raises(DataError, match=r"""line 3: .*data\.quote = '"' .*data\.quote = 'none'"""):
        read(path, text, kind="tsv")
    inner = field[1:-1].replace('""', '"')
    assert read(path, text, kind="tsv", quote='"') == [("1", "x"), ("2", inner)]


def test_quotes_in_a_tsv_file_that_can_enclose_nothing_are_text(path: Path) -> None:
    text = 'user\tnote\n1\t"Great" cats\n2\ta "b"\n3\t"open\n'
    found = [("1", '"Great" cats'), ("2", 'a "b"'), ("3", '"open')]
    assert read(path, text, kind="tsv") == found
    assert read(path, 'user\tnote\n1\t"x"\n', kind="recbole") == [("1", '"x"')]
    assert read(path, 'user\tnote\n1\t"x"\n', kind="tsv", quote="none") == [("1", '"x"')]


@pytest.mark.parametrize("separator", ["::", "||", "<>", " ", "|", ";", "."])
def test_separators_of_one_or_several_characters(path: Path, separator: str) -> None:
    text = f"1{separator}2\n3{separator}4\n"
    assert read(path, text, "column_1", separator=separator) == [("1", "2"), ("3", "4")]
    text = f'user{separator}item\n1{separator}"a{separator}b"\n'
    assert read(path, text, separator=separator) == [("1", f"a{separator}b")]


@pytest.mark.parametrize("line", ["1", "1,2,", "1,2,3"])
def test_a_line_with_another_number_of_fields_is_refused(path: Path, line: str) -> None:
    """A short line was filled with nulls, and a long one told no line."""
    for note in ("", '3,"x"\n'):
        with pytest.raises(DataError, match=rf"line \d: '{line}' has \d fields.* line has 2"):
            read(path, f"user,item\n{note}{line}\n")


def test_blank_lines_are_no_rows_and_the_numbers_of_lines_count_them(path: Path) -> None:
    assert read(path, "\nuser,item\n\n1,2\n  \n3,4\n\n") == [("1", "2"), ("3", "4")]
    assert read(path, '\nuser,item\n\n1,"2"\n  \n3,4\n\n') == [("1", "2"), ("3", "4")]
    with pytest.raises(DataError, match="line 4: '1' has 1 fields"):
        read(path, "\nuser,item\n\n1\n")
    with pytest.raises(DataError, match="line 4: '1' has 1 fields"):
        read(path, '\nuser,"item"\n\n1\n')


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_refused(path: Path, text: str) -> None:
    with pytest.raises(DataError, match="it is empty"):
        read(path, text)


@pytest.mark.parametrize("text", ["user,item", "user,item\n", "\ufeffuser,item\r\n"])
def test_a_file_with_nothing_but_a_header_has_no_rows(path: Path, text: str) -> None:
    assert read(path, text) == []


def test_two_columns_of_one_name_are_refused(path: Path) -> None:
    """The second one was silently renamed."""
    with pytest.raises(DataError, match="two columns are called 'item'"):
        read(path, "user,item,item\n1,2,3\n")


def test_a_column_without_name_is_numbered(path: Path) -> None:
    path.write_text(",user,item\n0,1,2\n")  # as pandas writes its index
    frame = read_delimited(Source(path, "csv"), "user")
    assert frame.columns == ["column_1", "user", "item"]


def test_a_header_is_not_read_as_a_row_and_a_row_not_as_a_header(path: Path) -> None:
    with pytest.raises(DataError, match="first line, user, item, looks like the names"):
        read(path, "user,item\n1,2\n3,4\n", "column_1")
    with pytest.raises(
        DataError, match=r"Columns: 1, 2\. If this first line is no header.*column_1"
    ):
        read(path, "1,2\n3,4\n")
    assert read(path, "column_1,column_2\n3,4\n", "column_1") == [("3", "4")]
    assert read(path, "u1,i1\nu2,i2\n", "column_1") == [("u1", "i1"), ("u2", "i2")]


def test_another_separator_is_offered_where_the_header_is_one_field(path: Path) -> None:
    with pytest.raises(DataError, match=r"one field 'user;item'. Set data.separator = \";\""):
        read(path, "user;item\n1;2\n")


def test_a_long_field_is_read(path: Path) -> None:
    assert read(path, 'user,note\n1,"' + "x" * 200_000 + '"\n')[0][1] == "x" * 200_000


TEXTS = st.text(st.sampled_from("ab\",'\t\n ;:"), max_size=6)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("round") / "a.csv"
    quoted = [tuple('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    text = "\n".join(["user,item", *(",".join(row) for row in quoted)])
    assert read(path, text) == [tuple(field or None for field in row) for row in rows]


@given(st.lists(st.text(st.sampled_from("ab, \t"), max_size=6), min_size=1, max_size=6))
def test_the_fast_way_and_the_way_line_by_line_agree(lines: list[str]) -> None:
    text = "\n".join(["user,item", *lines])
    fast = _split_fast(text, ",")
    if fast is None:
        return
    slow = _split(text, Source(Path("a"), "csv"), ",")
    assert fast.fill_null("").rows() == slow.rows()


def test_lines_of_equal_width_go_the_fast_way() -> None:
    assert _split_fast('user,item\n1,"2\n', ",") is not None
    assert _split_fast("user,item\n1\n", ",") is None
    assert _split_fast("user,item\n1,2,3\n4\n", ",") is None
    assert _split_fast("user,item\n1\n,,", ",") is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("A1,B1,5.0,1369699200\nA1,B2,3.0,1369699201\n", "csv"),
        ("1,2268318,2520377,pv,1511544070\n1,2268319,3,buy,1511544071\n", "csv"),
        ("5,5,3\n5,6,3\n", "csv"),
        ("u1,i1,i1\nu2,i1,x\n", "csv"),
        ("00000c\t3bd73256\tbetty boo\t2137\n", "tsv"),
        ("ann,cup,tue\nbob,cup,fri\n", "csv"),
    ],
)
def test_the_message_of_a_file_without_header_names_its_columns(
    path: Path, text: str, kind: Format
) -> None:
    """Amazon, Taobao and Last.fm: the message called the first line the columns, and no more."""
    with pytest.raises(DataError, match=r"no header.*data\.user.*column_1, column_2"):
        read(path, text, kind=kind)
    assert read(path, text, id_column="column_1", kind=kind)


@pytest.mark.parametrize(
    "text",
    [
        "reviewerID,asin,overall\nA1,B1,5\nA2,B1,4.5\n",
        "user_id,item_id\nann,cup\nbob,cup\n",
        "who,what,when\na,b,2\nc,d,\ne,f,3\n",
    ],
)
def test_a_header_above_text_ids_is_not_read_as_an_interaction(path: Path, text: str) -> None:
    """The user ``reviewerID`` had the item ``asin``."""
    with pytest.raises(DataError, match=r"first line.*looks like the names of the columns"):
        read(path, text, id_column="column_1")


@pytest.mark.parametrize(
    "text", ["ann,cup,tue\nbob,pot,wed\n", "a,b,NA\nc,d,3\n", "a,b,3\nc,d,4\n"]
)
def test_a_first_row_of_text_is_no_header(path: Path, text: str) -> None:
    assert len(read(path, text, id_column="column_1")) == 2


@pytest.mark.parametrize("separator", ["\t", "::", " ", "\x01"])
@pytest.mark.parametrize("id_column", ["user", "column_1"])
def test_the_separator_of_the_remedy_is_written_as_in_a_configuration(
    path: Path, separator: str, id_column: str
) -> None:
    r"""In TOML '\t' is a backslash and a t; and the one column_1 held whole lines."""
    text = f"user{separator}item\n1{separator}2\n"
    with pytest.raises(DataError) as caught:
        read(path, text, id_column)
    assert f"data.separator = {json.dumps(separator)}" in str(caught.value)


@pytest.mark.parametrize("text", ['item,title\n1,"a \\"b\\" c"\n', 'item,title\n1,"12\\""\n'])
def test_backslashes_before_quotes_are_named(path: Path, text: str) -> None:
    """Spark and the books of Book-Crossing write them; quote = 'none' would cut the fields."""
    with pytest.raises(DataError, match=r'line 2: .*Write "" in place of \\"'):
        read(path, text, id_column="item")
    assert read(path, text.replace('\\"', '""'), id_column="item")


@pytest.mark.parametrize(
    ("text", "settings", "remedy"),
    [
        ('user,note\n1, "a, b"\n', {}, None),
        ("user,note\n1,'a, b'\n", {}, '''data.quote = "'"'''),
        ('user,note\n1,"a, b"\n', {"quote": "none"}, """data.quote = '"'"""),
    ],
)
def test_a_ragged_line_is_not_answered_with_the_quote_that_is_set(
    path: Path, text: str, settings: dict[str, str], remedy: str | None
) -> None:
    with pytest.raises(DataError, match=r"line 2: .*3 fields") as caught:
        read(path, text, **settings)
    assert ("data.quote" in str(caught.value)) == (remedy is not None)
    assert remedy is None or remedy in str(caught.value)
