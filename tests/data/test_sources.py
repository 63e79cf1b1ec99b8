import logging
from pathlib import Path

import pytest

from graphrec.core.errors import DataError
from graphrec.data import sources
from graphrec.data.config import DataConfig
from graphrec.data.readers import read_interactions
from graphrec.data.sources import Source, lines_of, read_text

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


def test_a_byte_order_mark_that_contradicts_the_encoding_is_refused(tmp_path: Path) -> None:
    """The first id began with the mark, read as three letters."""
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("utf-8-sig"))
    with pytest.raises(DataError, match=r"byte order mark of utf-8.*Remove data\.encoding"):
        read_text(Source(path, "csv", encoding="latin-1"))


def test_utf_32_is_told_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("utf-32"))
    assert read_text(Source(path, "csv")) == TEXT


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh91AY", "a bzip2 archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"PAR1", "a Parquet file"),
        (b"\x93NUMPY", "a NumPy file"),
    ],
)
def test_other_files_are_named_instead_of_an_encoding(
    tmp_path: Path, start: bytes, what: str
) -> None:
    (tmp_path / "a.csv").write_bytes(start + b"\0\xe9")
    with pytest.raises(DataError, match=f"it is {what}"):
        read_text(Source(tmp_path / "a.csv", "csv"))


def test_a_name_too_long_for_the_system_is_a_missing_file(tmp_path: Path) -> None:
    """It was a traceback."""
    path = tmp_path / ("r" * 300 + ".csv")
    with pytest.raises(DataError, match=r"There is no file .*too long"):
        read_interactions(path, DataConfig(path=path))


def test_an_encoding_that_encodes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be the name of an encoding of text"):
        DataConfig(path=Path("a.csv"), encoding="undefined")


def test_a_backslash_and_a_t_are_no_tab() -> None:
    r"""'\t' in single quotes of TOML is two characters, which no file holds between its fields."""
    with pytest.raises(
        ValueError, match=r'is a backslash and a t. For a tab write "\\t" in double quotes'
    ):
        DataConfig(path=Path("a.csv"), separator=r"\t")


def test_a_text_that_is_named_gz_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(DataError, match=r"not a gzip archive.*without \.gz"):
        read_interactions(path, DataConfig(path=path))
