"""Define the tables ``[data]`` and ``[split]``."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from graphrec.core.config import AbsolutePath, Config, TimeFormat

MISSING_IDS = (
    *("nan", "NaN", "NAN", "None", "none", "NONE", "null", "Null", "NULL"),
    *("NA", "N/A", "n/a", "<NA>", "NaT"),
)
"""Texts that programs write where there is no value."""

TimeUnit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]


class ColumnRule(Config):
    """Filter that keeps only the rows whose ``column`` satisfies every condition given."""

    column: str
    """Column of the raw file."""
    keep: str | None = None
    """Regular expression that the value must contain."""
    drop: str | None = None
    """Regular expression that the value must not contain."""
    min: float | None = None
    """Smallest value that is kept."""
    max: float | None = None
    """Largest value that is kept."""


class CleanConfig(Config):
    """Settings that turn raw rows into interactions; applied in the order of the fields."""

    missing_ids: tuple[str, ...] = MISSING_IDS
    """Texts that stand for a missing id; such rows are dropped, as are rows with an empty id."""
    rules: tuple[ColumnRule, ...] = ()
    """Row filters on raw columns: thresholds, cancelled orders, non-products."""
    duplicates: Literal["first", "last", "sum", "error"] = "first"
    """Treatment of repeated pairs: keep the first or last row, sum the weights, or refuse."""
    min_weight: float | None = None
    """Smallest weight of a pair that is kept (a rating of 4, three plays); needs ``weight``."""
    k_core: NonNegativeInt = 0
    """Least interactions of a user or item; others are dropped, until all that are left pass."""


class ItemColumn(Config):
    """Settings of an item attribute gathered from the interaction rows of the item."""

    column: str
    """Column of the raw file."""
    take: Literal["most_common", "median", "mean", "first", "last"] = "most_common"
    """Rule that makes one value of the rows of an item; ties of most_common go to the smallest."""
    pattern: str | None = None
    """Regular expression whose first group (or whole match) replaces the value."""


Format = Literal[
    "auto",
    "csv",
    "tsv",
    "jsonl",
    "python_lines",
    "parquet",
    "adjacency",
    "mmrec",
    "recbole",
    "npz",
    "npy",
]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "adjacency",
    ".npz": "npz",
    ".npy": "npy",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
}
"""Format for each ending of a file name."""
DELIMITED: frozenset[Format] = frozenset({"csv", "tsv", "mmrec", "recbole"})
TEXTS: frozenset[Format] = DELIMITED | {"jsonl", "python_lines", "adjacency"}


def format_of(path: Path, configured: Format) -> Format | None:
    """Return the configured format, or that of the file name; None if the name has no known one."""
    if configured != "auto":
        return configured
    return SUFFIXES.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, UnicodeError):
        raise ValueError(
            "must be the name of an encoding of text, as in 'utf-8', 'latin-1' or 'utf-16'"
        ) from None
    return name


Encoding = Annotated[str, AfterValidator(_encoding)]
Quote = Literal['"', "'", "none"]


def _separator(value: str) -> str:
    if value == r"\t":
        raise ValueError(r"""is a backslash and a t. For a tab write "\t" in double quotes""")
    return value


def _once(names: list[str]) -> list[str]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"names {twice[0]!r} more than once")
    return names


Separator = Annotated[str, Field(min_length=1), AfterValidator(_separator)]
Columns = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    AfterValidator(_once),
]


class DataConfig(Config):
    """Settings of the source of the interactions and of their cleaning."""

    name: str | None = None
    """Name of a data set of the catalog (``graphrec data list``), which sets the defaults here."""
    path: AbsolutePath | None = None
    """File with all interactions."""
    train: AbsolutePath | None = None
    """Training part of a given split."""
    valid: AbsolutePath | None = None
    """Validation part of a given split (optional)."""
    test: AbsolutePath | None = None
    """Test part of a given split."""
    format: Format = "auto"
    """File format; ``auto`` decides by the file name. ``csv`` and ``tsv`` are tables of text,
    ``jsonl`` JSON lines or one JSON array, ``python_lines`` one Python dictionary per line."""
    user: str = "user"
    """Column with the user id; ``column_1`` is the first of a file without a header."""
    item: str = "item"
    """Column with the item id."""
    time: str | None = None
    """Column with the time: a number or a date."""
    time_unit: TimeUnit = "seconds"
    """Unit of times that are numbers, counted from 1970."""
    time_format: TimeFormat | None = None
    """Form of dates, like ``%d.%m.%Y %H:%M``; by default the form of each date is recognised."""
    weight: str | None = None
    """Column with a rating or quantity."""
    label: str | None = None
    """Column with the part of a given split: 0, 1, 2 or train, valid, test."""
    separator: Separator | None = None
    """Field separator of text files, one or more characters; by default a comma, or a tab for
    .tsv and .inter."""
    quote: Quote | None = None
    """Character that encloses fields of a text file that hold a separator: ``"`` by default for
    csv; with ``none`` quotes are characters like any other."""
    encoding: Encoding | None = None
    """Encoding of text files; by default UTF-8, or the encoding of a byte order mark."""
    line_start: Literal["user", "count"] | None = None
    """First token of a line of an adjacency list: the user, or the number of items; with the number
    of items, the user is the number of the line from 0 on. By default it is the user, and a list
    that looks otherwise is refused."""
    unroll: Columns = []
    """Column or columns whose lists hold several events: each entry becomes a row with a copy of
    the other columns. Fields of objects are columns called ``column.field``."""
    unroll_separator: Separator | None = None
    """Separator of the entries where a column of ``unroll`` holds text; by default a space in
    RecBole's files."""
    arrays: dict[Literal["train", "valid", "test"], str] = {}
    """Name of the ``[2, n]`` pair array of each part, for .npz files."""
    num_users: PositiveInt | None = None
    """Number of users, for integer ids 0..n-1; counts users without interactions, too."""
    num_items: PositiveInt | None = None
    """Number of items, for integer ids 0..n-1; counts items without interactions, too."""
    items: AbsolutePath | None = None
    """File of the item table, with one row per item."""
    items_id: str = "item"
    """Column of the item table with the item id; ``column_1`` for a file without a header."""
    items_format: Format = "auto"
    """Format of the item table; ``auto`` decides by the file name."""
    items_separator: Separator | None = None
    """Field separator of the item table; by default as ``separator``."""
    items_quote: Quote | None = None
    """Character that encloses fields of the item table; by default as ``quote``."""
    items_encoding: Encoding | None = None
    """Encoding of the item table; by default as ``encoding``."""
    item_title: str | None = None
    """Column of the item table with a name for people; used in printed examples."""
    item_columns: dict[str, ItemColumn] = {}
    """Item attributes gathered from the interaction rows: ``{name: {column, take, pattern}}``."""
    clean: CleanConfig = CleanConfig()
    """Settings of the cleaning steps."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = self.train is not None or self.test is not None
        if sum((self.name is not None, self.path is not None, given)) != 1:
            raise ValueError("give exactly one of: name, path, or train and test")
        if given and (self.train is None or self.test is None):
            raise ValueError("a given split needs both train and test")
        return self

    def inactive_settings(self) -> Iterable[tuple[str, str]]:
        """Yield (setting, reason) for each setting of times that has no effect."""
        if self.time is None:
            yield from ((name, "without time") for name in ("time_unit", "time_format"))
        if self.time_format is not None:
            yield "time_unit", "beside time_format"

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.require_effect()
        if self.name is None:
            self.require_weights(self.weight)
        return self

    def require_weights(self, weight: str | None) -> None:
        """Refuse a smallest weight where no row has a weight.

        Raises:
            ValueError: there is no column ``weight``, and repeated pairs are not counted.
        """
        unweighted = weight is None and self.clean.duplicates != "sum"
        if self.clean.min_weight is not None and unweighted:
            raise ValueError(
                "clean.min_weight has no effect without weight: name the column of the rating or "
                "quantity in weight, or count rows with clean.duplicates = 'sum'"
            )

    @model_validator(mode="after")
    def _each_setting_has_an_effect(self) -> Self:
        files = [path for path in (self.path, self.train, self.valid, self.test) if path]
        formats = {format_of(path, self.format) for path in files} or {None}
        items = {format_of(self.items, self.items_format)} if self.items else set()
        for name, reason in (*self._without_columns(formats), *self._without_text(formats, items)):
            if getattr(self, name) != self._default(name):
                raise ValueError(f"{name} has no effect: {reason}, or remove it")
        return self

    def _without_columns(self, formats: AbstractSet[Format | None]) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for settings of columns or lists that the files do not have."""
        if formats in ({"adjacency"}, {"npy"}):
            read = (
                "adjacency list (user item item ...)"
                if "adjacency" in formats
                else "array of pairs"
            )
            for name in ("user", "item", "time", "weight", "label", "unroll"):
                yield (
                    name,
                    f"{self.path or self.train} is read as an {read}, which has no columns. Set "
                    f'data.format = "csv" for a table with columns',
                )
        if "adjacency" not in formats | {None}:
            yield "line_start", 'it is for adjacency lists. Set data.format = "adjacency" for one'
        if not self.unroll:
            yield "unroll_separator", "it cuts the columns of data.unroll. Set that too"

    def _without_text(
        self, formats: AbstractSet[Format | None], items: AbstractSet[Format | None]
    ) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for settings of text files where no file is one."""
        for name, kinds in (("separator", DELIMITED), ("quote", DELIMITED), ("encoding", TEXTS)):
            what = "it is for tables of text" if kinds == DELIMITED else "it is for text files"
            if not (formats | items) & {*kinds, None}:
                yield name, f'{what}. Set data.format = "csv" for one'
            if not items & {*kinds, None}:
                yield f"items_{name}", f'{what}. Set data.items and data.items_format = "csv"'
        if self.items is None:
            yield "items_format", "there is no item table. Set data.items"


class SplitConfig(Config):
    """Settings that divide interactions into train, valid and test."""

    kind: Literal["given", "random", "leave_one_out", "temporal_user", "temporal_global"] = "random"
    """Rule: given by the data; random per user; the last one of each user; the latest of each user;
    or cut at two points in time for all users."""
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, valid and test (random and temporal kinds)."""
    seed: int = 0
    """Seed of the random kinds, apart from ``run.seed`` so that runs with other seeds share it."""
    cold_users: Literal["error", "drop", "keep"] = "error"
    """Treatment of users with valid or test items but none in train: refuse, leave out, or rank."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.kind in ("given", "leave_one_out") and self.ratios != (0.8, 0.1, 0.1):
            raise ValueError(f"kind = {self.kind!r} takes no ratios; remove them")
        return self

    @field_validator("ratios")
    @classmethod
    def _sum_to_one(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(ratios) < 0 or ratios[0] == 0 or abs(sum(ratios) - 1) > 1e-9:
            raise ValueError("must be three shares, none negative, train above 0, that sum to 1")
        return ratios
