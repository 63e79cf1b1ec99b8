from pathlib import Path

import pytest

from graphrec.core.errors import DataError
from graphrec.data.adjacency import read_adjacency
from graphrec.data.config import DataConfig
from graphrec.data.sources import Source


def read(path: Path, text: str, line_start: str | None = None) -> list[tuple[str, str]]:
    path.write_bytes(text.encode())
    config = DataConfig.model_validate({"path": path, "line_start": line_start})
    return read_adjacency(Source(path, "adjacency"), config).rows()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.txt"


PAIRS = [("0", "5"), ("0", "6"), ("1", "5")]


@pytest.mark.parametrize("text", ["\ufeff0 5 6\n1 5", "0\t5\t6 \r\n\r\n1 5\r\n", " 0  5 6\n1 5\n"])
def test_byte_order_marks_and_ends_of_lines_are_no_ids(path: Path, text: str) -> None:
    assert read(path, text) == PAIRS


def test_leading_zeros_stay(path: Path) -> None:
    """007 and 7 became one item."""
    assert read(path, "01 007 7\n1 7\n") == [("01", "007"), ("01", "7"), ("1", "7")]


@pytest.mark.parametrize("first", ["user item rating", "1 2 3.5", "1,2,3", "1::2::3"])
def test_a_table_is_told_from_a_list_by_its_tokens(path: Path, first: str) -> None:
    with pytest.raises(DataError, match=r'line 1: .*set data\.format = "csv"'):
        read(path, f"{first}\n1 2 3\n")


@pytest.mark.parametrize("rest", ["4", "4 1600000000"])
def test_rows_of_a_table_of_integers_are_refused_as_users_recur(path: Path, rest: str) -> None:
    """Ratings became items."""
    text = "".join(f"{user} {item} {rest}\n" for user in range(4) for item in range(3))
    with pytest.raises(
        DataError, match=r"line 1: '0 0 4.*user '0' starts several.*format = \"csv\""
    ):
        read(path, text)
    with pytest.raises(DataError, match=r'data\.separator = " "'):
        read(path, text + "5 6\n")
    assert len(read(path, text, "user")) == 12 * len(f"0 {rest}".split())


def test_users_over_several_lines_of_different_length_are_a_list(path: Path) -> None:
    assert read(path, "0 5 6\n0 7\n1 5 6 7 8\n")[:3] == [("0", "5"), ("0", "6"), ("0", "7")]
    assert read(path, "0 5\n0 7\n1 5\n") == [("0", "5"), ("0", "7"), ("1", "5")]


COUNTED = "2 5 6\n1 7\n3 1 2 3\n0\n2 4 5\n"


def test_counts_at_the_start_of_lines_are_refused_or_read_by_a_setting(path: Path) -> None:
    """All users with the same number of items became one user."""
    with pytest.raises(DataError, match=r'as do 5 of 5 lines.*data\.line_start = "count"'):
        read(path, COUNTED)
    many = COUNTED * 10
    with pytest.raises(DataError, match=r"as do 50 of 51 lines"):
        read(path, many + "7 1 2\n")
    found = read(path, COUNTED, "count")
    assert found[:4] == [("0", "5"), ("0", "6"), ("1", "7"), ("2", "1")]
    assert found[-1] == ("4", "5")
    assert len(read(path, COUNTED, "user")) == 8


def test_a_wrong_count_is_named_by_line(path: Path) -> None:
    with pytest.raises(DataError, match=r"line 6: '3 1 2' announces 3 items and holds 2 \(1 such"):
        read(path, COUNTED + "3 1 2\n", "count")


def test_a_few_lines_that_look_counted_by_chance_are_a_list(path: Path) -> None:
    assert read(path, "1 5\n2 6 7\n") == [("1", "5"), ("2", "6"), ("2", "7")]


@pytest.mark.parametrize(
    ("separator", "remedy"),
    [("\t", r'data.separator = "\t"'), (",", 'data.format = "csv"'), ("::", 'separator = "::"')],
)
def test_the_remedy_names_the_separator_of_the_line(
    path: Path, separator: str, remedy: str
) -> None:
    """A list of check-ins between tabs was advised to be cut at blanks."""
    text = separator.join(("0", "2010-10-19T23:55:27Z", "22847")) + "\n"
    with pytest.raises(DataError) as caught:
        read(path, text)
    assert remedy in str(caught.value)
    assert 'separator = " "' not in str(caught.value)
