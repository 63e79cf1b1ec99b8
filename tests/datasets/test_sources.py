import logging
from pathlib import Path

import pytest

from graphrec.config import DataConfig
from graphrec.datasets import sources
from graphrec.datasets.readers import read_interactions
from graphrec.datasets.sources import Source, lines_of, read_text
from graphrec.errors import DataError

TEXT = "user,item\n1,caf\xe9\n"


@pytest.mark.parametrize(
    ("encoding", "setting"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-le", "utf-16-le"),
        ("latin-1", "latin-1"),
        ("cp1251", "cp1251"),
        ("utf-8-sig", "utf-8"),
    ],
)
def test_encodings_by_byte_order_mark_or_setting(
    tmp_path: Path, encoding: str, setting: str | None
) -> None:
    text = TEXT.replace("\xe9", "\u0436") if encoding == "cp1251" else TEXT
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_text(Source(tmp_path / "a.csv", "csv", encoding=setting)) == text


def test_the_setting_reaches_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(DataError, match=r"line 2 is not UTF-8.*data\.encoding, as in"):
        read_interactions(path, DataConfig(path=path))
    frame = read_interactions(path, DataConfig(path=path, encoding="latin-1"))
    assert frame["@item"].to_list() == ["caf\xe9"]


def test_utf_16_without_a_mark_is_named_not_read_as_letters_and_nulls(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"u\0i\0")
    with pytest.raises(DataError, match=r"holds the character NUL.*data\.encoding"):
        read_text(Source(tmp_path / "a.csv", "csv"))


def test_utf_8_that_is_read_as_something_else_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode())
    with caplog.at_level(logging.WARNING):
        read_text(Source(tmp_path / "a.csv", "csv", encoding="latin-1"))
    assert "is valid UTF-8 but is read as latin-1; remove data.encoding" in caplog.text


def test_all_ends_of_lines_are_one(tmp_path: Path) -> None:
    for text in ("a\r\nb\r\n", "a\rb\r", "a\nb\n"):
        (tmp_path / "a").write_bytes(text.encode())
        assert read_text(Source(tmp_path / "a", "csv")).strip("\n") == "a\nb"


def test_lines_are_the_same_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a\n\nbc\nd\u2028e\n\nf"
    for size in (1, 2, 3, 100):
        monkeypatch.setattr(sources, "CHUNK", size)
        assert lines_of(text).to_list() == text.split("\n"), size
    assert lines_of("").to_list() == []
