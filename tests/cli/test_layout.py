"""Tables on a terminal: 80 columns are enough, and no figure is broken."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from graphrec.cli.console import print_table
from graphrec.cli.layout import layout


def lines_of(header: list[str], rows: list[list[str]], width: int = 80) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False)
    for table in layout(header, rows, width):
        console.print(table)
    return file.getvalue().splitlines()


def test_a_narrow_table_is_one_table() -> None:
    lines = lines_of(["model", "recall@20"], [["mf", "0.1234"]])
    assert sum("model" in line for line in lines) == 1
    assert any("mf" in line and "0.1234" in line for line in lines)


def test_a_wide_table_goes_on_below_with_its_first_column() -> None:
    header = ["model", *(f"metric{index}@20" for index in range(12))]
    rows = [["a long name of a model", *["0.1234 \u00b1 0.0012"] * 12], ["mf", *["-0.5"] * 12]]
    lines = lines_of(header, rows)
    assert max(map(len, lines)) <= 80
    assert sum(line.count("0.1234 \u00b1 0.0012") for line in lines) == 12, "no figure is broken"
    assert all(sum(name in line for line in lines) == 1 for name in header[1:])
    assert sum("\u2502 mf " in line for line in lines) == sum("model" in line for line in lines) / 2


@given(
    st.lists(st.text("ab \u540d[]/", max_size=90), min_size=1, max_size=4),
    st.integers(0, 9),
    st.integers(40, 120),
)
def test_no_line_is_wider_than_the_room(names: list[str], figures: int, width: int) -> None:
    header = ["name", "what it is", *(f"m{index}" for index in range(figures))]
    rows = [[name, name[::-1], *["1,234.5"] * figures] for name in names]
    for line in lines_of(header, rows, width):
        assert Console().render_str(line, markup=False).cell_len <= width


def test_texts_are_whole() -> None:
    lines = lines_of(["key", "text", "n"], [["k" * 50, "t" * 200, "1"]])
    assert sum(line.count("k") for line in lines[3:]) == 50
    assert sum(line.count("t") for line in lines[3:]) == 200


def test_a_path_in_the_title_stays_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a" * 60
    print_table(f"Recommendations of {path}", ["x"], [["1"]])
    assert path in capsys.readouterr().out.splitlines()
