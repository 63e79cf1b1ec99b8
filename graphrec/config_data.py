"""The tables ``[data]`` and ``[split]``."""

from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from graphrec.config_base import AbsolutePath, Config


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

    rules: tuple[ColumnRule, ...] = ()
    """Row filters on raw columns: thresholds, cancelled orders, non-products."""
    duplicates: Literal["first", "last", "sum", "error"] = "first"
    """A pair seen more than once: keep the first or last row, sum the weights, or refuse."""
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
    """Column with the time: a number (seconds) or a date."""
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
