"""The tables ``[data]`` and ``[split]``."""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from graphrec.config_base import AbsolutePath, Config, TimeFormat

MISSING_IDS = (
    *("nan", "NaN", "NAN", "None", "none", "NONE", "null", "Null", "NULL"),
    *("NA", "N/A", "n/a", "<NA>", "NaT"),
)
"""What programs write where there is no value."""

TimeUnit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]


class ColumnRule(Config):
    """Keep only the rows whose ``column`` satisfies every condition given."""

    column: str
    """Column of the raw file."""
    keep: str | None = None
    """Regular expression that the value must contain."""
    drop: str | None = None
    """Regular expression that the value must not contain."""
    min: float | None = None
    """Smallest value kept."""
    max: float | None = None
    """Largest value kept."""


class CleanConfig(Config):
    """How raw rows become interactions; applied in the order of the fields."""

    missing_ids: tuple[str, ...] = MISSING_IDS
    """Texts in place of an id that stand for no id; such rows are dropped, as are empty ids."""
    rules: tuple[ColumnRule, ...] = ()
    """Row filters on raw columns: thresholds, cancelled orders, non-products."""
    duplicates: Literal["first", "last", "sum", "error"] = "first"
    """A pair seen more than once: keep the first or last row, sum the weights, or refuse."""
    min_weight: float | None = None
    """Keep pairs with at least this weight (a rating of 4, three plays); it needs ``weight``."""
    k_core: NonNegativeInt = 0
    """Drop users and items with fewer interactions, repeated until none is left to drop."""


class ItemColumn(Config):
    """An item attribute gathered from the interaction rows of the item."""

    column: str
    """Column of the raw file."""
    take: Literal["most_common", "median", "mean", "first", "last"] = "most_common"
    """How the rows of one item become one value; ties of the most common go to the smallest."""
    pattern: str | None = None
    """Regular expression; its first group (or whole match) replaces the value."""


Format = Literal["auto", "csv", "tsv", "jsonl", "parquet", "adjacency", "mmrec", "recbole", "npz"]


class DataConfig(Config):
    """Where the interactions come from and how they are cleaned."""

    name: str | None = None
    """A data set of the catalog (``graphrec data list``); its settings are the defaults here."""
    path: AbsolutePath | None = None
    """One file with all interactions."""
    train: AbsolutePath | None = None
    """Training part of a given split."""
    valid: AbsolutePath | None = None
    """Validation part of a given split (optional)."""
    test: AbsolutePath | None = None
    """Test part of a given split."""
    format: Format = "auto"
    """File format; ``auto`` goes by the file name."""
    user: str = "user"
    """Column with the user id; ``column_1`` names the first of a file without a header."""
    item: str = "item"
    """Column with the item id."""
    time: str | None = None
    """Column with the time: a number or a date."""
    time_unit: TimeUnit = "seconds"
    """Unit of times that are numbers, counted from 1970."""
    time_format: TimeFormat | None = None
    """Form of dates, like ``%d.%m.%Y %H:%M``; by default each date tells its own."""
    weight: str | None = None
    """Column with a rating or quantity."""
    label: str | None = None
    """Column with the part of a given split: 0, 1, 2 or train, valid, test."""
    separator: str | None = None
    """Field separator of text files; by default a comma, or a tab for .tsv and .inter."""
    arrays: dict[Literal["train", "valid", "test"], str] = {}
    """For .npz files: the name of the ``[2, n]`` pair array of each part."""
    num_users: PositiveInt | None = None
    """For integer ids 0..n-1: how many users there are, those without interactions included."""
    num_items: PositiveInt | None = None
    """For integer ids 0..n-1: how many items there are, those without interactions included."""
    items: AbsolutePath | None = None
    """A table with one row per item."""
    items_id: str = "item"
    """Column of the item table with the item id; ``column_1`` for a file without a header."""
    item_title: str | None = None
    """Column of the item table that names an item to people; used in printed examples."""
    item_columns: dict[str, ItemColumn] = {}
    """Item attributes gathered from the interaction rows: ``{name: {column, take, pattern}}``."""
    clean: CleanConfig = CleanConfig()
    """Cleaning steps."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = self.train is not None or self.test is not None
        if sum((self.name is not None, self.path is not None, given)) != 1:
            raise ValueError("give exactly one of: name, path, or train and test")
        if given and (self.train is None or self.test is None):
            raise ValueError("a given split needs both train and test")
        return self

    def idle(self) -> Iterable[tuple[str, str]]:
        """Settings of times without times, or of one of two forms of times."""
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


class SplitConfig(Config):
    """How interactions are divided into train, valid and test."""

    kind: Literal["given", "random", "leave_one_out", "temporal_user", "temporal_global"] = "random"
    """Given by the data; random per user; the last one of each user; the latest of each user; or
    cut at two points in time for all users."""
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, valid and test (random and temporal kinds)."""
    seed: int = 0
    """Seed of the random kinds; kept apart from ``run.seed`` so that seeds share one split."""
    cold_users: Literal["error", "drop", "keep"] = "error"
    """Users with valid or test items but none in train: refuse, leave out, or rank anyway."""

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
