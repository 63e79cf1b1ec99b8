import json
from pathlib import Path

import pytest

from graphrec.core.errors import DataError
from graphrec.data.json_lines import read_json_lines, read_python_lines
from graphrec.data.sources import Source

GOOD = '{"user": 1, "item": "01"}\n'


def read(path: Path, text: str) -> list[dict[str, object]]:
    path.write_bytes(text.encode())
    return read_json_lines(Source(path, "jsonl")).to_dicts()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        "\r\n" + GOOD.replace("\n", "\r\n\r\n"),
        GOOD.strip(),
        f"[{GOOD}]",
        "\ufeff" + json.dumps([json.loads(GOOD)], indent=2),
    ],
)
def test_lines_and_arrays_with_and_without_a_byte_order_mark(path: Path, text: str) -> None:
    assert read(path, text) == [{"user": 1, "item": "01"}]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"user": 3, "item": ', "is no JSON"),
        ('{"user": 3} {"user": 4}', "is no JSON: Extra data"),
        ('{"user": 3,}', "is no JSON"),
        ('{"user": NaN}', "holds NaN, which JSON has not. Write null"),
        ('{"user": -Infinity}', "holds -Infinity"),
        ('{"user": 1e999}', "holds the number 1e999 beyond float64"),
        ("5", "is no JSON object"),
        ("[1]", "is no JSON object"),
        ("{'user': 3}", 'is a Python dictionary: set data.format = "python_lines"'),
        ('{"user": [1]}', "holds a list as 'user', but line 1 holds a number"),
        ('{"user": {"id": 1}}', "holds an object as 'user', but line 1 holds a number"),
    ],
)
def test_a_broken_line_is_named_with_its_text(path: Path, line: str, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read(path, GOOD + "\n" + line + "\n" + GOOD)
    assert f"log.jsonl, line 3: {line!r}" in str(caught.value)
    assert fault in str(caught.value)


def test_a_broken_array_names_the_line_or_the_entry(path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: .*\{\"user\" 2\}.* is no JSON"):
        read(path, '[{"user": 1},\n{"user" 2}]')
    with pytest.raises(DataError, match=r"entry 2 holds NaN"):
        read(path, '[{"user": 1},\n{"user": NaN}]')


@pytest.mark.parametrize("text", ["", "\n\n", "{}\n{}\n", "[]"])
def test_a_file_without_values_is_refused(path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"log\.jsonl cannot be read as jsonl"):
        read(path, text)


def test_nesting_without_end_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1.*nested too deeply"):
        read(path, '{"user": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(DataError, match=r"log\.jsonl"):
        read(path, "[" * 100_000)


def test_ids_beyond_float_and_int64_keep_all_digits(path: Path) -> None:
    assert read(path, '{"user": 12345678901234567890}')[0]["user"] == 12345678901234567890


def test_numbers_and_texts_in_one_column_are_text(path: Path) -> None:
    found = [line["user"] for line in read(path, '{"user": 1}\n{"user": "01"}\n')]
    assert found == ["1", "01"]


def read_python(path: Path, text: str) -> list[dict[str, object]]:
    path.write_text(text)
    return read_python_lines(Source(path, "python_lines")).to_dicts()


def test_lines_of_python_dictionaries(path: Path) -> None:
    text = "{u'user': 'u1', 'n': None, 'ok': True, 'l': ('a',)}\n\n{'user': \"it's\", 'n': 2}\n"
    assert read_python(path, text) == [
        {"user": "u1", "n": None, "ok": True, "l": ["a"]},
        {"user": "it's", "n": 2, "ok": None, "l": None},
    ]


@pytest.mark.parametrize("line", ["__import__('os')", "{'user': nan}", "{'a': {1}}", "{'a': 1"])
def test_lines_that_are_no_literals_are_refused_and_never_run(path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"line 2: .* is no dictionary"):
        read_python(path, "{'user': 1}\n" + line)


def test_lists_beside_text_are_lists(path: Path) -> None:
    """The id of a row was the text ``["b", "c"]``."""
    text = '{"item": "a"}\n{"item": ["b", "c"]}\n{"item": null}\n{"item": "[x"}\n'
    assert [row["item"] for row in read(path, text)] == [["a"], ["b", "c"], None, ["[x"]]


@pytest.mark.parametrize("text", ['{"item": "[1]"}\n{"item": "a"}\n', '{"item": "[x"}\n'])
def test_text_in_brackets_stays_text(path: Path, text: str) -> None:
    assert read(path, text)[0]["item"] in ("[1]", "[x")


@pytest.mark.parametrize("half", [r"\ud83d", r"\uDE00", r"a\ud83dx"])
def test_half_a_character_is_refused_by_line(path: Path, half: str) -> None:
    r"""It became the character NUL."""
    with pytest.raises(DataError, match=r"line 2: .*half of a character"):
        read(path, GOOD + f'{{"user": 1, "item": "{half}"}}\n')


def test_whole_characters_of_two_halves_and_backslashes_are_read(path: Path) -> None:
    text = r'{"a": "\ud83d\ude00", "b": "\\ud83d"}' + "\n"
    assert read(path, text) == [{"a": "\U0001f600", "b": "\\ud83d"}]


@pytest.mark.parametrize("text", ['{"a": 1},\n{"a": 2},\n', '{"a": 1}{"a": 2}\n', '{\n"a": 1\n}\n'])
def test_the_remedy_of_other_layouts_is_one_object_per_line(path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"line 1: .*Write one object per line"):
        read(path, text)


def test_json_that_is_read_as_python_names_its_format(path: Path) -> None:
    path.write_text('{"user": 1, "item": null}\n')
    with pytest.raises(DataError, match=r'line 1: .*data\.format = "jsonl"'):
        read_python_lines(Source(path, "python_lines"))
