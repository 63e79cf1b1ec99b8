"""Read CSV, TSV and similar text: one row per line, and a separator between the fields.

Every field stays text until a caller parses it as a number, so that the id ``007`` keeps its zeros.
"""

import csv
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from operator import and_

import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.names import nearest
from graphrec.data.config import MISSING_IDS
from graphrec.data.sources import Source, lines_of, read_text, separator_setting

SEPARATORS = {"csv": ",", "tsv": "\t", "mmrec": "\t", "recbole": "\t"}
NUMBERED = re.compile(r"column_\d+")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NAMES = frozenset({"user", "userid", "uid", "item", "itemid", "iid"})
"""Names of id columns, in small letters and without underscores; such a text is never an id."""
QUOTES = {'"': """'"'""", "'": '''"'"'''}
"""Quotes, each with its spelling in a configuration."""
STAND_IN = "\x1f"
"""Replacement of a separator of several characters, which the csv module does not support."""
ROWS = 100_000
"""Rows that are Python objects at once."""


def read_delimited(source: Source, id_column: str) -> pl.DataFrame:
    """Read a table of text; empty fields are null.

    The columns of a file without a header line are ``column_1``, ``column_2``, ...; a file is read
    as such when ``id_column`` has a name of this form.

    Quotes: by default a field of a ``csv`` file may stand between double quotes. Inside them a
    separator or the end of a line is text, and a doubled quote is a quote. A quote inside a field
    that does not start with one is a character like any other. In a ``tsv`` file quotes are
    characters; where a file could be read either way the setting ``quote`` must decide.

    Raises:
        DataError: a line has another number of fields than the first, a quote is not closed, or
            two columns have one name; the message names the line.
    """
    text = read_text(source)
    if not text.strip():
        raise source.error("it is empty")
    separator = source.separator or SEPARATORS[source.kind]
    quote = source.quote or ('"' if source.kind == "csv" else "none")
    if source.kind == "tsv" and source.quote is None:
        _refuse_two_readings(text, source, separator)
    if quote != "none" and quote in text:
        table = _quoted(text, source, separator, quote)
    else:
        table = _plain(text, source, separator)
    numbered = [f"column_{position + 1}" for position in range(table.width)]
    first = [str(field or "") for field in table.row(0)]
    if table.width == 1:
        _refuse_one_field(first[0], source)
    if NUMBERED.fullmatch(id_column) and first != numbered:
        _refuse_header(table, source)
        table.columns = numbered
        return table
    names = [name or number for name, number in zip(first, numbered, strict=True)]
    _require_header(names, id_column, source)
    table.columns = names
    return table[1:]


def _plain(text: str, source: Source, separator: str) -> pl.DataFrame:
    """Split lines in which no quote encloses a field."""
    table = _split_fast(text, separator)
    if table is None:
        table = _split(text, source, separator)
    return table.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _split_fast(text: str, separator: str) -> pl.DataFrame | None:
    """Split with polars; return None where the result would differ from that of ``_split``.

    Polars fills short lines with nulls, refuses long ones, and reads blank lines as rows. The
    number of separators reveals such lines.
    """
    width = text[: text.find("\n")].count(separator) + 1
    if len(separator.encode()) > 1 or width == 1:
        return None
    schema = {f"field_{column}": pl.String for column in range(width)}
    ended = text if text.endswith("\n") else text + "\n"
    try:
        table = pl.read_csv(
            ended.encode(), separator=separator, schema=schema, has_header=False, quote_char=None
        )
    except pl.exceptions.PolarsError:
        return None
    first = table.filter(pl.last().is_null())[:, 0]
    maybe_blank = not first.str.contains(r"\S").fill_null(False).all()
    fits = text.count(separator) == len(table) * (width - 1)
    return table if fits and not maybe_blank else None


def _split(text: str, source: Source, separator: str) -> pl.DataFrame:
    """Split line by line, without blank lines; refuse a line of another width."""
    lines = lines_of(text).to_frame("line").with_row_index("number", offset=1)
    blank = pl.col("line") == ""
    if separator.strip():
        blank = pl.col("line").str.strip_chars() == ""
    lines = lines.filter(~blank)
    fields = lines["line"].str.count_matches(separator, literal=True) + 1
    width = int(fields[0])
    ragged = fields != width
    if ragged.any():
        row = int(ragged.arg_max() or 0)
        number, line = lines.row(row)
        raise _ragged(source, number, line, int(fields[row]), width)
    return lines["line"].str.split_exact(separator, width - 1).struct.unnest()


def _quoted(text: str, source: Source, separator: str, quote: str) -> pl.DataFrame:
    """Parse quoted fields strictly: after a closing quote only a separator may follow."""
    frames = []
    width = 0
    try:
        with _long_fields():
            lines, delimiter = _prepared(text.split("\n"), separator)
            reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)
            while chunk := list(islice(reader, ROWS)):
                rows = [row for row in chunk if len(row) > 1 or (row and row[0].strip())]
                width = width or len(rows[0])
                if any(len(row) != width for row in rows):
                    raise csv.Error
                schema = {f"field_{column}": pl.String for column in range(width)}
                frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
    except csv.Error:
        raise _first_fault(text, source, separator, quote) from None
    table = pl.concat(frames)
    if len(separator) > 1:
        table = table.with_columns(pl.all().str.replace_all(STAND_IN, separator, literal=True))
    return table.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _prepared(lines: list[str], separator: str) -> tuple[Iterator[str], str]:
    """Return the lines as the csv module takes them, and the single character that separates."""
    delimiter = separator if len(separator) == 1 else STAND_IN
    return (line.replace(separator, delimiter) + "\n" for line in lines), delimiter


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _first_fault(text: str, source: Source, separator: str, quote: str) -> DataError:
    """Return the error for the first record that is not closed or has another width."""
    lines = text.split("\n")
    width = start = 0
    with _long_fields():
        prepared, delimiter = _prepared(lines, separator)
        reader = csv.reader(prepared, delimiter=delimiter, quotechar=quote, strict=True)
        while True:
            start = reader.line_num
            try:
                row = next(reader)
            except csv.Error:
                return source.error_in_line(
                    start + 1, lines[start], _stray(source, quote, lines[start])
                )
            if len(row) > 1 or (row and row[0].strip()):
                width = width or len(row)
                if len(row) != width:
                    return _ragged(source, start + 1, lines[start], len(row), width)


def _stray(source: Source, quote: str, line: str) -> str:
    fault = f"starts a field with the quote {quote} that is not closed before the next separator. "
    if f"\\{quote}" in line:
        return f"{fault}Write {2 * quote} in place of \\{quote} in the whole file"
    return (
        f"{fault}Double each quote inside of the field, or set {source.prefix}quote = 'none' if "
        f"quotes are characters of this file like any other"
    )


def _refuse_two_readings(text: str, source: Source, separator: str) -> None:
    """Refuse a file with quoted fields that is well-formed whether quotes enclose or are text."""
    opening = re.compile(rf'(?:^|{re.escape(separator)})"', re.MULTILINE).search(text)
    if opening is None:
        return
    try:
        _quoted(text, source, separator, '"')
    except DataError:
        return  # Quotes that enclose nothing are text.
    number = text.count("\n", 0, opening.end() - 1) + 1
    line = text.split("\n", number)[number - 1]
    raise source.error_in_line(
        number,
        line,
        f"""has a field that starts with a quote. Set {source.prefix}quote = '"' if quotes """
        f"enclose the fields of this file, or {source.prefix}quote = 'none' if they are "
        f"characters like any other",
    )


def _ragged(source: Source, number: int, line: str, count: int, width: int) -> DataError:
    separator = source.separator or SEPARATORS[source.kind]
    used = source.quote or ('"' if source.kind == "csv" else "none")
    others = [setting for mark, setting in QUOTES.items() if mark in line and mark != used]
    quotes = f", or set {source.prefix}quote = {others[0]}" if others else ""
    return source.error_in_line(
        number,
        line,
        f"has {count} fields between separators {separator!r}, but the first line has {width}. "
        f"Repair the line, or correct {source.prefix}separator{quotes}",
    )


def _refuse_header(table: pl.DataFrame, source: Source) -> None:
    """Refuse a first line of names above rows of ids: it would become an interaction.

    A line of names has no number, and has a known name or a text above a column of numbers.
    """
    first = [str(field or "") for field in table.row(0)]
    numbers = table.select(pl.all().str.contains(r"^-?\d+(?:\.\d+)?$"))
    if len(table) == 1 or any(NUMBER.fullmatch(field) for field in first):
        return
    below = numbers[1:].select((pl.all() | pl.all().is_null()).all() & pl.all().any()).row(0)
    named = [field not in ("", r"\N", *MISSING_IDS) for field in first]
    known = any(field.lower().replace("_", "") in NAMES for field in first)
    if known or any(map(and_, below, named)):
        raise source.error(
            f"the first line, {', '.join(first)}, looks like the names of the columns. Use these "
            f"names, not column_1, in the configuration"
        )


def _refuse_one_field(line: str, source: Source) -> None:
    setting = separator_setting(line, source.prefix)
    if setting is not None:
        raise source.error(
            f"its first line is the one field {line!r}. Set {setting} if that separates the fields"
        )


def _require_header(names: list[str], id_column: str, source: Source) -> None:
    """Refuse a first line that is no header or that repeats a name."""
    if id_column not in names and (source.kind in ("csv", "tsv") or _numbers(names)):
        role = "items_id" if source.prefix == "data.items_" else "user"
        raise DataError(
            f"{source.path} has no column {id_column!r}, which data.{role} asks for."
            f"{nearest(id_column, names)} Columns: {', '.join(names)}. If this first line is no "
            f"header, set data.{role} and the other names to column_1, column_2, ..."
        )
    repeated = sorted(name for name in set(names) if names.count(name) > 1)
    if repeated:
        raise source.error(f"two columns are called {repeated[0]!r}. Rename one in the first line")


def _numbers(names: list[str]) -> bool:
    return all(NUMBER.fullmatch(name) for name in names)
