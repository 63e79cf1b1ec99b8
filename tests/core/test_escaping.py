"""Names of users in outputs: each format shows them as they are, and obeys none of them."""

import csv
import io
import json
import re
import xml.dom.minidom
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from graphrec import read_result
from graphrec.cli.layout import layout
from graphrec.core.escaping import csv_cell, latex, markdown, one_line, visible
from graphrec.report.html import html_table, paragraphs, write_page
from graphrec.report.svg import as_svg
from graphrec.report.tables import append_records, table_csv, to_csv, to_latex, to_markdown
from tests import flow

NASTY = [
    "[/x]",
    "[red]a[/red]",
    r"$\foo$",
    "50% off & more_of {it} ~ ^ # \\ done",
    "a|b`c`*d*_e_",
    "<script>alert(1)</script>",
    "=1+1",
    "+cmd",
    "-x",
    "@SUM(A1)",
    "\tx",
    "two\nlines",
    "\x1b[31mred\x07",
    "%s %(x)s {0}",
    ":heart:",
    "[x]{y}",
    "*",
]
TEXT = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    "{[}": "[",
    "{]}": "]",
    "{*}": "*",
    r"$\pm$": "\u00b1",
    **{f"\\{each}": each for each in "{}&%$#_"},
}


def typeset(escaped: str) -> str:
    """What LaTeX would print: every command that ``latex`` may write, and no other."""
    commands = "|".join(map(re.escape, sorted(TEXT, key=len, reverse=True)))
    parts = re.findall(commands + r"|[^\\{}&%$#_~^\[\]*]", escaped)
    assert "".join(parts) == escaped, "a character that LaTeX would obey"
    return "".join(TEXT.get(part, part) for part in parts)


@given(st.text())
def test_latex_prints_any_text_as_it_is(text: str) -> None:
    assert typeset(latex(text)) == visible(" ".join(text.split()))


@given(st.text())
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    escaped = markdown(text)
    assert re.sub(r"\\([\\`*_\[\]<>|~$&])", r"\1", escaped) == visible(" ".join(text.split()))
    assert not re.search(r"(?<!\\)(\\\\)*[|`*<]", escaped), "a table, code or HTML would begin"


@given(st.text())
def test_a_spreadsheet_finds_no_formula_in_any_text(text: str) -> None:
    cell = csv_cell(text)
    assert cell in (visible(text), f"'{visible(text)}")
    number = re.fullmatch(r"[-+][\d.]+(e[-+]?\d+)?|[-+](inf|nan)", cell, re.IGNORECASE)
    assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert csv_cell(cell) == cell


@pytest.mark.parametrize("number", ["-0.5", "+0.0123", "1e-05", "-1.5E+3", "-inf", "0", "3/0/0"])
def test_numbers_stay_numbers(number: str) -> None:
    assert csv_cell(number) == number


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[2Jb\x00\x9bc\td\ne") == "a\\x1b[2Jb\\x00\\x9bc\td\ne"
    assert one_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"


def test_tables_of_a_report_hold_one_row_per_name() -> None:
    body = [[name, "1", "0.5"] for name in NASTY]
    markdown_lines = to_markdown(["model", "seeds", "m"], body).splitlines()
    assert len(markdown_lines) == 2 + len(NASTY)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in markdown_lines)
    latex_lines = to_latex(["model", "seeds", "m"], body).splitlines()
    assert len(latex_lines) == 6 + len(NASTY)
    for line in latex_lines[4:-2]:
        assert line.endswith(r" & 1 & 0.5 \\")
        assert not line.startswith(("[", "*"))  # \\ and \midrule would take them
    rows = list(csv.reader(io.StringIO(to_csv(["model", "seeds", "m"], body), newline="")))
    assert [row[1:] for row in rows] == [["seeds", "m"], *[["1", "0.5"]] * len(NASTY)]
    assert [row[0].removeprefix("'") for row in rows[1:]] == list(map(visible, NASTY))


def test_a_formula_as_a_name_is_added_to_a_results_file_once(tmp_path: Path) -> None:
    record = {"name": "=HYPERLINK(1)", "value": "-0.5"}
    assert append_records(tmp_path / "r.csv", [record], ("name",)) == 1
    assert append_records(tmp_path / "r.csv", [record], ("name",)) == 0
    assert (tmp_path / "r.csv").read_text() == "name,value\n'=HYPERLINK(1),-0.5\n"


def test_a_results_file_of_an_older_version_gets_no_line_twice(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("name,value\n=a,1\n")
    record = {"name": "=a", "value": "1"}
    assert append_records(tmp_path / "r.csv", [record], ("name",)) == 0


def test_numbers_of_a_table_stay_numbers_in_csv() -> None:
    table = pl.DataFrame({"=x": ["=1", None, "a"], "difference": [-0.5, 1e-9, None]})
    assert table_csv(table).decode().splitlines() == ["'=x,difference", "'=1,-0.5", ",1e-9", "a,"]


@pytest.mark.parametrize("name", NASTY)
def test_a_drawing_shows_a_name_as_it_is(name: str) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1e-5, 0.1], [1, 2], label=name)
    axes.set_xscale("log")
    axes.set_yticks([1, 2], [name, "other"])
    axes.set_xlabel(name)
    axes.legend()
    svg = as_svg(figure)
    document = xml.dom.minidom.parseString(svg)
    texts = [each.firstChild.data for each in document.getElementsByTagName("text")]
    for line in visible(name).expandtabs(4).split("\n"):
        assert "".join(texts).replace(" ", "").count(line.replace(" ", "")) >= 3
    assert "1e\u221204" in texts, "powers are written without a formula"


def test_a_page_holds_names_as_text(tmp_path: Path) -> None:
    write_page(
        tmp_path / "p.html", NASTY[5], [html_table(["<b>", "m"], [NASTY[5:7]]), paragraphs(NASTY)]
    )
    page = (tmp_path / "p.html").read_text()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;") == 3


@pytest.mark.parametrize("style", ["table", "md", "latex", "csv", "json"])
@pytest.mark.parametrize("name", NASTY)
def test_report_prints_a_run_of_any_name(name: str, style: str, tmp_path: Path) -> None:
    result = replace(read_result(flow.finished("popular")), name=name)
    result.write(tmp_path / "run/result.json")
    answer = flow.graphrec(
        "report", tmp_path / "run", "--metrics", "recall@5", "--format", style,
        "--append", tmp_path / "r.csv",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "\x1b" not in answer.out
    if style == "table":
        assert visible(name).split()[0][:5] in answer.out
    if style == "json":
        assert json.loads(answer.out)[0]["name"] == name


def test_cells_are_no_markup() -> None:
    (table,) = layout(["[b]x[/b]", "m"], [["[/x]", "1"]], 80)
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    assert "[/x]" in console.file.getvalue()
    assert "[b]x[/b]" in console.file.getvalue()
