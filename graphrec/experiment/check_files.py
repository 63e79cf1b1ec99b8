"""Open the files that a configuration names, for ``graphrec check``, as a run would."""

from pathlib import Path

from graphrec.config import RunConfig
from graphrec.core.errors import DataError, GraphRecError
from graphrec.data import Dataset, load
from graphrec.features.columns import select_columns
from graphrec.features.config import FeatureConfig

COLUMNS = ("columns", "text", "numeric", "prices", "dates", "categorical", "multi")
"""Settings of encoders that name columns of the item table."""

WRITTEN = ("store",)
"""Settings of encoders with a path that need not exist yet."""


def check_files(config: RunConfig) -> None:
    """Load and clean the data; require the files of features and their columns in the table.

    A data set that code describes, written ``"package.module:ENTRY"``, is not opened.

    Raises:
        DataError: a file is missing, not readable, or lacks a column.
        ConfigError: a setting contradicts the data.
    """
    if config.data.name is not None and ":" in config.data.name:
        return
    try:
        dataset = load(config.data)
    except DataError as error:
        raise DataError(f"{error} `graphrec check --no-data` opens no files.") from error
    for name, settings in config.features.items():
        try:
            _require_content(settings.located(dataset.folder), dataset)
        except GraphRecError as error:
            raise type(error)(f"[features.{name}] {error}") from error


def _require_content(settings: FeatureConfig, dataset: Dataset) -> None:
    for key, value in settings:
        if isinstance(value, Path) and key not in WRITTEN:
            _require_readable(value, key)
        if key in COLUMNS and isinstance(value, tuple | str) and value:
            select_columns(dataset.item_table, (value,) if isinstance(value, str) else value)


def _require_readable(path: Path, key: str) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise DataError(f"{key}: cannot read {path}: {error.strerror or error}.") from error
