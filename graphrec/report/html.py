"""Write HTML pages that need no other file: their drawings are inside."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from graphrec.core.escaping import visible
from graphrec.core.files import write_bytes

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
td, th { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
td, th { white-space: nowrap }
td:first-child, th:first-child { text-align: left }
svg { max-width: 100%; height: auto }
"""


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page made of pieces of HTML."""
    lines = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        *parts,
        "</body></html>\n",
    ]
    write_bytes(path, visible("\n".join(lines)).encode())


def paragraphs(lines: Sequence[str]) -> str:
    """Return one paragraph for each line of text."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def inlined(svg: str) -> str:
    """Return a drawing without the header that only a separate file needs."""
    return svg[svg.index("<svg") :]


def html_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; None is an empty cell, and a number has four significant digits."""

    def line(cells: Sequence[object], tag: str) -> str:
        texts = ("" if cell is None else _short(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    return f"<table>{line(header, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
