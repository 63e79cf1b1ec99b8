"""Read JSON lines, one JSON array of objects, or lines of Python dictionaries."""

import ast
import json
import math
import re
from collections.abc import Callable
from typing import NoReturn

import polars as pl

from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.data.sources import Source, read_text

KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
"""Words for the types of JSON values; all others are numbers."""
HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Pattern of an escaped half of a surrogate pair."""
LAYOUT = "Write one object per line, or one array of objects"
SCALARS = ("text", "a number")
"""Kinds that may share a column: numbers then become text."""


def read_json_lines(source: Source) -> pl.DataFrame:
    """Read one object per line, or one array of objects; skip blank lines.

    Raises:
        DataError: a line is no JSON object, holds NaN, Infinity or a number beyond float64, or a
            column holds values of kinds that cannot share it; the message names the line.
    """
    text = read_text(source)
    if text.lstrip().startswith("["):
        text = _array_as_lines(text, source)
    return _parsed(text, source)


def read_python_lines(source: Source) -> pl.DataFrame:
    """Read one Python dictionary per line, such as ``{'user': 'u1', 'items': ['i1', 'i2']}``.

    Lines are parsed as literals and never run.

    Raises:
        DataError: as in ``read_json_lines``.
    """
    lines = []
    for number, line in enumerate(read_text(source).split("\n"), start=1):
        if not line.strip():
            lines.append("")
            continue
        try:
            lines.append(json.dumps(ast.literal_eval(line.strip()), allow_nan=False))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            reason = "is no dictionary of texts, numbers and lists in the syntax of Python"
            if _reads(json.loads, line):
                reason += f'. It is JSON: set {source.prefix}format = "jsonl"'
            raise source.error_in_line(number, line, reason) from error
    return _parsed("\n".join(lines), source)


def _parsed(text: str, source: Source) -> pl.DataFrame:
    if not text.strip():
        raise source.error("it is empty")
    if HALF.search(text):
        _refuse_halves(text, source)
    try:
        table = pl.read_ndjson(text.encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _first_fault(text, source, str(error)) from error
    if not table.width:
        raise source.error("its objects have no keys")
    return table.with_columns(_lists_beside_text(column, text) for column in table.iter_columns())


def _lists_beside_text(column: pl.Series, text: str) -> pl.Series:
    """Return a column of lists where lines mix lists and texts: polars reads lists as '[1]'."""
    if column.dtype != pl.String or not column.str.starts_with("[").any():
        return column
    lines = pl.Series([line for line in text.split("\n") if line.strip()])
    values: list[list[str] | None] = [None if cell is None else [cell] for cell in column]
    has_list = False
    for row in column.str.starts_with("[").fill_null(False).arg_true():
        value = json.loads(lines[row])[column.name]
        if isinstance(value, list):
            has_list = True
            values[row] = [part if isinstance(part, str) else json.dumps(part) for part in value]
    return pl.Series(column.name, values, dtype=pl.List(pl.String)) if has_list else column


def _refuse_halves(text: str, source: Source) -> None:
    """Refuse half of a surrogate pair, which polars reads as NUL."""
    for number, line in enumerate(text.split("\n"), start=1):
        if HALF.search(line):
            try:
                json.dumps(json.loads(line), ensure_ascii=False).encode()
            except UnicodeEncodeError:
                reason = "holds half of a character (a surrogate). Remove it"
                raise source.error_in_line(number, line, reason) from None
            except (ValueError, RecursionError):
                return  # no JSON; the parser reports it with its reason later


def _array_as_lines(text: str, source: Source) -> str:
    try:
        array = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.split("\n")
        reason = f"is no JSON: {error.msg} (character {error.colno})"
        raise source.error_in_line(error.lineno, lines[error.lineno - 1], reason) from error
    except RecursionError as error:
        raise source.error("it is nested too deeply") from error
    lines = []
    for number, entry in enumerate(array, start=1):
        try:
            lines.append(json.dumps(entry, allow_nan=False))
        except ValueError as error:
            raise source.error(f"entry {number} holds {_not_finite(entry)}") from error
    return "\n".join(lines)


def _not_finite(value: Json) -> str:
    return f"NaN, Infinity or a number beyond float64: {str(value)[:80]}. Write null for no value"


def _first_fault(text: str, source: Source, reason: str) -> DataError:
    """Return the error for the first line that is malformed or conflicts with lines before it."""
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fault = _fault(line, source.prefix)
        if fault is not None:
            return source.error_in_line(number, line, fault)
        for key, value in json.loads(line).items():
            kind = _kind(value)
            known, first = kinds.setdefault(key, (kind, number)) if kind else (kind, number)
            if kind != known and not {kind, known} <= set(SCALARS):
                conflict = f"holds {kind} as {key!r}, but line {first} holds {known}"
                return source.error_in_line(number, line, f"{conflict}. Give it one type")
    first_line = reason.strip().split("\n")[0].rstrip(".")
    return source.error(f"{first_line}. Give every key one type in all lines")


def _kind(value: Json) -> str:
    """Return the kind of a value in words, empty for null."""
    return "" if value is None else KINDS.get(type(value), "a number")


def _fault(line: str, prefix: str) -> str | None:
    """Return the fault of a line in words, or None."""
    try:
        value = json.loads(line, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        fault = f"is no JSON: {error.msg} (character {error.colno})"
        if _reads(ast.literal_eval, line):
            return f'{fault}. It is a Python dictionary: set {prefix}format = "python_lines"'
        return f"{fault}. {LAYOUT}"
    except ValueError as error:
        return f"holds {error}, which JSON has not. Write null for no value"
    except RecursionError:
        return "is nested too deeply"
    return None if isinstance(value, dict) else "is no JSON object of keys and values"


def _reads(parse: Callable[[str], object], line: str) -> bool:
    try:
        return isinstance(parse(line.strip()), dict)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits} beyond float64")
    return value
