"""Records are written and read back field by field, or refused with what is wrong."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from graphrec import DataError
from graphrec.core.records import Record


@dataclass(frozen=True)
class Line:
    name: str
    value: float | None = None


@dataclass(frozen=True)
class Sheet(Record):
    content = "sheet"
    readable = (1, 2)

    title: str
    lines: list[Line]
    groups: dict[str, Line] = field(default_factory=dict)
    best: Line | None = None
    schema_version: int = 2


SHEET = Sheet("t", [Line("a", 0.5), Line("b")], {"cold": Line("c")}, Line("a"))


def test_a_record_comes_back_as_it_was_with_its_inner_records(tmp_path: Path) -> None:
    SHEET.write(tmp_path / "sheet.json")
    assert Sheet.read(tmp_path / "sheet.json", "Write it again.") == SHEET


def test_a_missing_file_is_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sheet.read(tmp_path / "none.json", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": None}, "it holds no sheet. Write it again"),
        ({"schema_version": 3}, "has schema version 3, this graphrec reads 1 and 2"),
        ({"title": 1}, "its field 'title' has the wrong type. Write it again"),
        ({"lines": [{"name": 1}]}, "its field 'lines' has the wrong type"),
        ({"more": 1}, "it has the unknown field 'more'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.json"
    SHEET.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=said):
        Sheet.read(path, "Write it again.")
