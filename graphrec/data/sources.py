"""Open a data file before it is parsed: detect its format, and return its bytes or text."""

import codecs
import gzip
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from graphrec.core.errors import DataError, GraphRecError
from graphrec.data.config import SUFFIXES, Format, format_of

logger = logging.getLogger(__name__)

BOMS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Byte order marks, each with its encoding."""
ALIEN = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy file",
}
"""First bytes of files that are no text, each with what the file is."""
SEPARATOR = re.compile(r"::|[,;\t|\x01]| +")
"""Pattern of separators between the fields of a line."""
GZIP = b"\x1f\x8b"
EXCERPT = 80
"""Number of characters of a line in a message."""
CHUNK = 2**28
"""Characters split into lines at once: one string of polars holds less than 2**32 bytes."""


@dataclass(frozen=True)
class Source:
    """One file and the settings that say how to read it.

    Attributes:
        prefix: start of the names of its settings: ``data.`` or ``data.items_``.
    """

    path: Path
    kind: Format
    separator: str | None = None
    quote: str | None = None
    encoding: str | None = None
    prefix: str = "data."

    def error(self, reason: str) -> DataError:
        """Return the error for this file, which cannot be read for the given reason."""
        return DataError(f"{self.path} cannot be read as {self.kind}: {reason}.")

    def error_in_line(self, number: int, line: str, reason: str) -> DataError:
        """Return the error for one line, which cannot be read; the message shows the line."""
        excerpt = line if len(line) <= EXCERPT else line[:EXCERPT] + " ..."
        return DataError(f"{self.path}, line {number}: {excerpt!r} {reason}.")


def detect_format(path: Path, configured: Format, prefix: str = "data.") -> Format:
    """Return the configured format, or the format that the file name stands for.

    Raises:
        DataError: there is no such file, or its name has no known ending.
    """
    try:
        path.stat()
    except OSError as error:
        reason = error.strerror or "it does not exist"
        raise DataError(
            f"There is no file {path}: {reason}. Correct the path in [data]."
        ) from error
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give the path of one file in [data].")
    if not path.is_file():
        raise DataError(f"{path} is no regular file. Correct the path in [data].")
    kind = format_of(path, configured)
    if kind is None:
        raise DataError(
            f"{path}: the name does not tell the format. Set {prefix}format, or use one of the "
            f"endings {', '.join(SUFFIXES)} (each also with .gz)."
        )
    return kind


@contextmanager
def decoding(source: Source) -> Iterator[None]:
    """Turn any error of a decoder of a damaged file into a DataError that names the file."""
    try:
        yield
    except GraphRecError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else repr(error)
        raise source.error(reason) from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is a gzip archive."""
    content = path.read_bytes()
    if content.startswith(GZIP):
        return gzip.decompress(content)
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path} is not a gzip archive. If it is not packed, name it without .gz.")
    return content


def read_text(source: Source) -> str:
    r"""Return the text of a file without byte order mark and with ``\n`` at the ends of lines.

    Raises:
        DataError: the bytes are no text in the encoding; the message names the first such line.
    """
    content = read_bytes(source.path)
    for start, what in ALIEN.items():
        if content.startswith(start):
            raise source.error(f"it is {what}. Unpack it, or correct {source.prefix}format")
    announced = next((BOMS[mark] for mark in BOMS if content.startswith(mark)), None)
    encoding = source.encoding or announced or "utf-8"
    if announced is not None and not codecs.lookup(encoding).name.startswith(announced):
        raise source.error(
            f"it starts with the byte order mark of {announced}. Remove {source.prefix}encoding"
        )
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        raise source.error(_undecodable(content, source, error)) from error
    if source.encoding not in (None, "utf-8") and not content.isascii() and is_utf8(content):
        logger.warning(
            "%s is valid UTF-8 but is read as %s; remove %sencoding if its letters look wrong",
            *(source.path, source.encoding, source.prefix),
        )
    if "\0" in text:
        raise source.error(
            f"it holds the character NUL and is no text in this encoding. Set "
            f"{source.prefix}encoding, as in encoding = 'utf-16'"
        )
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
        text = text if "\n" in text else text.replace("\r", "\n")
    return text


def is_utf8(content: bytes) -> bool:
    """Return whether bytes are text in UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(content: bytes, source: Source, error: UnicodeError) -> str:
    start = error.start if isinstance(error, UnicodeDecodeError) else len(content)
    number = content.count(b"\n", 0, start) + 1
    line = content.split(b"\n", number)[number - 1]
    name = source.encoding or "UTF-8"
    return (
        f"line {number} is not {name}: {line[:60].strip()!r}. Save the file as UTF-8, or set "
        f"{source.prefix}encoding, as in encoding = 'latin-1'"
    )


def separator_setting(line: str, prefix: str) -> str | None:
    """Return, as TOML, the setting of the likely separator of a line; None if there is none."""
    marks = SEPARATOR.findall(line.strip(" "))
    mark = next(
        (candidate for candidate in marks if candidate.strip(" ")), marks[0] if marks else None
    )
    return None if mark is None else f"{prefix}separator = {json.dumps(mark)}"


def lines_of(text: str) -> pl.Series:
    """Split a text into its lines; the last line needs no line end."""
    parts = []
    start = 0
    while start < len(text):
        end = text.find("\n", min(start + CHUNK, len(text)))
        end = len(text) if end < 0 else end
        parts.append(pl.Series([text[start:end]]).str.split("\n").explode())
        start = end + 1
    return pl.concat(parts) if parts else pl.Series([], dtype=pl.String)


def read_parquet(path: Path) -> pl.DataFrame:
    """Read one Parquet file; characters like ``[`` and ``*`` in its name are no pattern."""
    content = path if path.suffix.lower() != ".gz" else io.BytesIO(read_bytes(path))
    return pl.read_parquet(content, glob=False, hive_partitioning=False)
