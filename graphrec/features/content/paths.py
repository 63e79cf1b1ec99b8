"""Define the setting that locates the file of an item."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from graphrec.core.config import FilePattern, absolute
from graphrec.features.content.sources import PLACEHOLDER


def _pattern(value: str) -> str:
    if not PLACEHOLDER.search(value.removeprefix("{data}")):
        raise ValueError(
            "must say where the item comes in, as in 'posters/{item}.jpg', or name a column of "
            "the item table, as in '{poster_path}'"
        )
    starts_with_column = value.startswith("{") and not value.startswith("{data}/")
    return value if starts_with_column else FilePattern(absolute(Path(value)))


Pattern = Annotated[str, AfterValidator(_pattern)]
"""File of an item: {item} is its id, any other {name} a column of the item table."""
