"""Collect the content to encode: for each item a text or file with its sha256, or a reason."""

import glob
import hashlib
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.progress import track
from graphrec.data.nested import flat_lists
from graphrec.features.columns import select_columns

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
HASH_THREADS = 8
PART_FILES = 4096


@dataclass(frozen=True, eq=False)
class Content:
    """The content of all items.

    Attributes:
        table: columns ``item`` (external id), ``source`` (the text, or the path of the file),
            ``key`` (sha256 of text or file) and ``reason`` (why there is none), one row per item;
            exactly one of ``key`` and ``reason`` is null.
        unused: number of files that belong to no item.
    """

    table: pl.DataFrame
    unused: int = 0


def joined_texts(items: pl.DataFrame | None, columns: tuple[str, ...]) -> pl.Series:
    """Join text columns (or lists of words) with a space; empty for an item without any text.

    Raises:
        DataError: a column is absent.
    """
    table = select_columns(items, columns)
    table = table.with_columns(_texts(column) for column in table.iter_columns())
    parts = [pl.col(name) for name in table.columns]
    blank = [pl.when(part.str.strip_chars() != "").then(part.str.strip_chars()) for part in parts]
    return table.select(pl.concat_str(blank, separator=" ", ignore_nulls=True)).to_series()


def _texts(column: pl.Series) -> pl.Series:
    """Return a column as text: words of lists, and of lists of lists, joined with a space."""
    lists = flat_lists(column)
    if lists is not None:
        return lists.list.join(" ")
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        raise DataError(f"column {column.name!r} holds {column.dtype}, not text. Use another one.")
    return column.cast(pl.String)


def text_content(
    items: pl.DataFrame | None, item_ids: pl.Series, columns: tuple[str, ...]
) -> Content:
    """Return the joined text columns (or lists of words) of each item; blank text is missing.

    Raises:
        DataError: a column is absent.
    """
    texts = joined_texts(items, columns)
    keys = [_sha256(text) if text else None for text in texts]
    reason = pl.when(pl.col("key").is_null()).then(pl.lit("no text")).alias("reason")
    table = pl.DataFrame(
        {"item": item_ids, "source": texts, "key": keys},
        schema={"item": pl.String, "source": pl.String, "key": pl.String},
    )
    return Content(table.with_columns(reason))


def text_file_content(items: pl.DataFrame | None, item_ids: pl.Series, pattern: str) -> Content:
    """Read the text file of each item by ``pattern``, as in ``plots/{item}.txt``.

    Raises:
        DataError: the folder or a column is absent.
    """
    files = file_content(items, item_ids, pattern)
    columns = ("source", "key", "reason")
    pairs = files.table.select("source", "reason").iter_rows()
    read = [(None, None, reason) if reason else _read_text(path) for path, reason in pairs]
    table = pl.DataFrame(read, schema=dict.fromkeys(columns, pl.String), orient="row")
    return Content(table.select(item_ids.alias("item"), *columns), files.unused)


def _read_text(path: str) -> tuple[str | None, str | None, str | None]:
    """Return text and sha256, or the reason why there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except OSError as error:  # removed or protected since it was hashed
        return None, None, f"unreadable file: {error.strerror or error}"
    except UnicodeDecodeError as error:
        return None, None, f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
    return (text, _sha256(text), None) if text else (None, None, "no text")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file_content(items: pl.DataFrame | None, item_ids: pl.Series, pattern: str) -> Content:
    """Find the file of each item by ``pattern``, as in ``posters/{item}.jpg``.

    ``{item}`` is the item id, any other ``{name}`` a column of the item table. Every file is read
    once to hash it, in parallel and in pieces; no file is held in memory.

    A path that leads out of the folder before the first placeholder, even by a link, is not read;
    nor is a path whose item id leads out of the folder before it. Only a column at the start of the
    pattern may lead to any folder.

    Raises:
        DataError: the folder or a column is absent.
    """
    paths = _paths(items, item_ids, pattern)
    folder, rest = _fixed_folder(pattern)
    if not folder.is_dir():
        raise DataError(
            f"folder {folder} of {pattern!r} does not exist. Relative paths start at the "
            f"working directory, {Path.cwd()}."
        )
    asked = pl.DataFrame(
        {
            "path": paths,
            "root": _roots(items, item_ids, pattern),
            "climbs": [("{item}" in pattern) and _climbs(item) for item in item_ids],
        },
        schema={"path": pl.String, "root": pl.String, "climbs": pl.Boolean},
    )
    hashed = pl.concat([_hashes(part) for part in track(_parts(asked), "Hashing files")])
    table = pl.DataFrame({"item": item_ids, "source": paths}).hstack(hashed)
    wildcard = "*".join(glob.escape(literal) for literal in PLACEHOLDER.split(rest)[::2])
    known = set(paths)
    existing = (path for path in folder.glob(wildcard) if path.is_file()) if rest else ()
    return Content(table, unused=sum(str(path) not in known for path in existing))


def _roots(items: pl.DataFrame | None, item_ids: pl.Series, pattern: str) -> pl.Series:
    """Return the folder that the path of each item must not leave; null where there is none.

    It is the folder before the first placeholder, or else the folder before ``{item}``.
    """
    fixed = pattern[: pattern.index("{")]
    before, has_item, _ = pattern.partition("{item}")
    if "/" in fixed:
        before = fixed
    elif not has_item:
        return pl.Series([None] * len(item_ids), dtype=pl.String)
    constant = [before] * len(item_ids)
    starts = _paths(items, item_ids, before) if PLACEHOLDER.search(before) else constant
    parents = [None if start is None else str(Path(start + "x").parent) for start in starts]
    return pl.Series(parents, dtype=pl.String)


def _climbs(item: str) -> bool:
    """Return whether an id, read as a path with either separator, leads out of its folder."""
    depth = 0
    for part in re.split(r"[/\\]", item):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


def _parts(paths: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut the paths into parts, at least one: a pool makes an object for each task at once."""
    starts = range(0, max(len(paths), 1), PART_FILES)
    return [paths[start : start + PART_FILES] for start in starts]


def _hashes(paths: pl.DataFrame) -> pl.DataFrame:
    """Return ``key`` and ``reason`` of some files."""
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        columns = dict.fromkeys(("key", "reason"), pl.String)
        return pl.DataFrame(list(pool.map(_hash, *paths)), schema=columns, orient="row")


def _paths(items: pl.DataFrame | None, item_ids: pl.Series, pattern: str) -> pl.Series:
    """Fill the placeholders; null where a column has no value."""
    names = [name for name in PLACEHOLDER.findall(pattern) if name != "item"]
    table = pl.DataFrame({"item": item_ids})
    if names:
        table = select_columns(items, tuple(names)).with_columns(item=item_ids)
    pieces = [
        pl.col(piece).cast(pl.String) if position % 2 else pl.lit(piece)
        for position, piece in enumerate(PLACEHOLDER.split(pattern))
    ]
    return table.select(pl.concat_str(pieces).alias("source")).to_series()


def _fixed_folder(pattern: str) -> tuple[Path, str]:
    """Split a pattern into the folder before the first placeholder and the rest."""
    fixed = pattern[: pattern.index("{")]
    folder, slash, _ = fixed.rpartition("/")
    rest = pattern[len(folder) + len(slash) :]
    # "{path}" alone may lead to any folder, so there are no other files to count.
    return Path(folder + slash), rest if slash else ""


def _hash(source: str | None, root: str | None, climbs: bool) -> tuple[str | None, str | None]:
    """Return the sha256 of a file, or the reason why there is none."""
    if source is None:
        return None, "no path in the item table"
    try:
        outside = root is not None and not Path(source).resolve().is_relative_to(
            Path(root).resolve()
        )
        if climbs or outside:
            return None, f"its path leads out of the folder {root}"
        kind = Path(source).stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            return None, "unreadable file: a pipe or device"  # reading it might never end
        with Path(source).open("rb") as file:
            if not file.read(1):
                return None, "empty file"
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest(), None
    except FileNotFoundError:
        return None, "no file"
    except RuntimeError:  # Python 3.11 and 3.12 raise it for a link that leads to itself
        return None, "unreadable file: a loop of links"
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return None, f"unreadable file: {reason}"
