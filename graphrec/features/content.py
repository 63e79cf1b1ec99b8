"""What there is to encode: per item a text or a file and its sha256, or why there is none."""

import glob
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from graphrec.errors import DataError
from graphrec.features.attributes import select_columns
from graphrec.progress import track

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
HASH_THREADS = 8


@dataclass(frozen=True, eq=False)
class Content:
    """The content of all items.

    Attributes:
        table: columns ``item`` (external id), ``source`` (the text, or the path of the file),
            ``key`` (sha256 of text or file) and ``reason`` (why there is none), one row per item;
            exactly one of ``key`` and ``reason`` is null.
        unused: files that belong to no item.
    """

    table: pl.DataFrame
    unused: int = 0


def text_content(
    items: pl.DataFrame | None, item_ids: pl.Series, columns: tuple[str, ...]
) -> Content:
    """Join text columns (or lists of words) with a space; an item without any text has none.

    Raises:
        DataError: a column is absent.
    """
    table = select_columns(items, columns)
    parts = [
        pl.col(name).cast(pl.List(pl.String)).list.join(" ")
        if isinstance(dtype, pl.List | pl.Array)
        else pl.col(name).cast(pl.String)
        for name, dtype in table.schema.items()
    ]
    blank = [pl.when(part.str.strip_chars() != "").then(part.str.strip_chars()) for part in parts]
    texts = table.select(pl.concat_str(blank, separator=" ", ignore_nulls=True)).to_series()
    keys = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    reason = pl.when(pl.col("key").is_null()).then(pl.lit("no text")).alias("reason")
    found = pl.DataFrame(
        {"item": item_ids, "source": texts, "key": keys},
        schema={"item": pl.String, "source": pl.String, "key": pl.String},
    )
    return Content(found.with_columns(reason))


def file_content(items: pl.DataFrame | None, item_ids: pl.Series, pattern: str) -> Content:
    """Find the file of each item by ``pattern``, as in ``posters/{item}.jpg``.

    ``{item}`` is the item id, any other ``{name}`` a column of the item table. Every file is read
    once to hash it, in parallel and in pieces; no file is held in memory.

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
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        hashed = list(track(pool.map(_hash, paths), "Hashing files", len(paths)))
    names = {"item": item_ids, "source": paths}
    columns = {"key": [key for key, _ in hashed], "reason": [reason for _, reason in hashed]}
    table = pl.DataFrame(names | columns, schema_overrides=dict.fromkeys(columns, pl.String))
    wildcard = "*".join(glob.escape(literal) for literal in PLACEHOLDER.split(rest)[::2])
    lying = {str(path) for path in folder.glob(wildcard) if path.is_file()} if rest else set()
    return Content(table, unused=len(lying.difference(paths.to_list())))


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
    # "{path}" alone may lead anywhere: there is no folder whose other files could be counted.
    return Path(folder + slash), rest if slash else ""


def _hash(source: str | None) -> tuple[str | None, str | None]:
    """Return the sha256 of a file, or why there is none."""
    if source is None:
        return None, "no path in the item table"
    try:
        with Path(source).open("rb") as file:
            if not file.read(1):
                return None, "empty file"
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest(), None
    except FileNotFoundError:
        return None, "no file"
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return None, f"unreadable file: {reason}"
