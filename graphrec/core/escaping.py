"""Escape names and ids as literal text for a terminal, LaTeX, Markdown, CSV or SVG."""

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, but not tab and line feed, and halves of surrogate pairs."""

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after \\ or \midrule a bracket would begin an option
    "]": "{]}",
    "*": "{*}",  # after \\ a star would be a part of the command
    "±": r"$\pm$",
}

MARKDOWN = re.compile(r"([\\`*\[\]<>|~$&])")
EMPHASIS = re.compile(r"(?<!\w)_|_(?!\w)")
"""An underscore that may begin or end emphasis; one inside a word is only an underscore."""

FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""First characters that make a spreadsheet take a cell for a formula."""


def visible(text: str) -> str:
    r"""Write control characters as ``\x1b``: a terminal would obey them, and an SVG would break.

    Line feeds and tabs stay.
    """
    return CONTROL.sub(lambda match: _code(match[0]), text)


def one_line(text: str) -> str:
    r"""Write control characters, line feeds and tabs included, as escapes such as ``\n``."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def latex(text: str) -> str:
    """Return LaTeX that prints ``text`` in a cell of a table, on one line."""
    return "".join(LATEX.get(character, character) for character in visible(" ".join(text.split())))


def markdown(text: str) -> str:
    """Return Markdown that shows ``text`` in a cell of a table, on one line."""
    escaped = MARKDOWN.sub(r"\\\1", visible(" ".join(text.split())))
    return EMPHASIS.sub(r"\\_", escaped)


def csv_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula, except numbers.

    Text that is escaped already is left as it is, so that escaping it again changes nothing.
    """
    text = visible(text)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", text) is not None
