"""The tables of a configuration, one docstring per field; ``RunConfig`` is a whole experiment.

Every stage receives only its own table. A key that no stage knows is an error. Relative paths are
relative to the working directory and are stored absolute, so that the ``config.json`` of a run
can be run again from anywhere. ``config_file`` reads and overrides them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from graphrec.errors import ConfigError
from graphrec.explain import explain
from graphrec.names import resolve

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class Config(BaseModel):
    """Base of every configuration table: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )


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


class FeatureConfig(Config):
    """One modality; ``encoder`` chooses the class that adds the other settings."""

    encoder: str
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""


class ModelConfig(Config):
    """Settings that every model has; ``name`` chooses the class that adds the others."""

    name: str
    """A name of ``MODELS`` (``graphrec list models``) or ``"package.module:Class"``."""


class TrainingConfig(Config):
    """The optimisation loop. Closed-form models have none and ignore this table by design."""

    lr: PositiveFloat = 1e-3
    """Learning rate of Adam."""
    batch_size: PositiveInt = 2048
    """Training pairs per step."""
    max_epochs: PositiveInt = 1000
    """Upper bound on passes over the training pairs."""
    patience: PositiveInt = 20
    """Stop after so many evaluations in a row without a better validation score."""
    eval_every: PositiveInt = 1
    """Epochs between evaluations."""
    num_negatives: PositiveInt = 1
    """Negatives drawn for each positive pair."""
    negatives: Literal["uniform", "popularity"] = "uniform"
    """Distribution of negatives; never an item of the user's training part."""
    schedule: Literal["constant", "exponential", "cosine"] = "constant"
    """Learning rate over epochs: lr; lr * decay^(epoch / 50); or half a cosine to zero."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.96
    """Base of the exponential schedule."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is mixed precision and needs CUDA."""
    checkpoint_every: PositiveInt = 1
    """Epochs between checkpoints."""


class EvaluationConfig(Config):
    """What is measured, and by whose conventions."""

    protocol: str = "graphrec"
    """Preset of conventions: graphrec, ngcf, mmrec, recbole or lattice."""
    selection: Literal["valid", "last_epoch", "best_test_epoch"] | None = None
    """Replace the preset's rule for choosing the epoch; best_test_epoch marks the result."""
    valid_metric: str | None = None
    """Replace the preset's metric for early stopping, written like ``ndcg@20``."""
    top_k: tuple[PositiveInt, ...] = (10, 20)
    """Cut-offs."""
    metrics: tuple[str, ...] = (
        "recall",
        "precision",
        "f1",
        "ndcg",
        "map",
        "mrr",
        "hit",
        "accuracy",
        "coverage",
        "novelty",
        "gini",
        "popularity",
    )
    """Names of ``METRICS``; ``auc`` is available and needs one more pass over the scores."""
    baselines: tuple[str, ...] = ()
    """Models run beside this one, with their default settings, on the same split."""
    memory_mb: PositiveInt = 512
    """Memory for one block of scores; changes speed, never a result."""

    @field_validator("top_k")
    @classmethod
    def _sorted(cls, top_k: tuple[int, ...]) -> tuple[int, ...]:
        if not top_k:
            raise ValueError("needs at least one cut-off")
        return tuple(sorted(set(top_k)))


class SearchRange(Config):
    """One dimension of a search space: an interval or a list of choices."""

    low: float | None = None
    """Lower end."""
    high: float | None = None
    """Upper end."""
    log: bool = False
    """Search on a logarithmic scale."""
    choices: tuple[bool | int | float | str, ...] = ()
    """The values to choose from."""

    @model_validator(mode="after")
    def _interval_or_choices(self) -> Self:
        interval = self.low is not None and self.high is not None
        if interval == bool(self.choices):
            raise ValueError("give either low and high, or choices")
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError("low must be below high")
            if self.log and self.low <= 0:
                raise ValueError("a log range must stay above 0")
        return self

    @property
    def ends(self) -> tuple[bool | int | float | str, ...]:
        """The values that must all be valid settings."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)


class RunSection(Config):
    """Label, seed and machine of a run."""

    name: str = ""
    """Label in tables; by default the name of the configuration file."""
    seed: int = 0
    """Seed of every random stream except the split's."""
    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda or cuda:N."""
    backend: Literal["auto", "torch", "pyg", "dgl"] = "auto"
    """Kernels of message passing."""
    recommend_k: PositiveInt = 20
    """Length of the lists in ``recommendations.parquet``."""


class PaperSection(Config):
    """Where the published numbers of a paper configuration come from."""

    key: str
    """Entry of references.bib."""
    table: str
    """Table, figure or file of the source in which the numbers stand."""
    code: str = ""
    """Reference code, with commit where known."""
    notes: str = ""
    """What differs from the paper's set-up."""


class RunConfig(Config):
    """A whole experiment."""

    data: DataConfig
    """Interactions and item table."""
    split: SplitConfig = SplitConfig()
    """Train, valid, test."""
    features: dict[str, SerializeAsAny[FeatureConfig]] = {}
    """``[features.NAME]``: one table per modality."""
    model: SerializeAsAny[ModelConfig]
    """The model and its settings."""
    training: TrainingConfig = TrainingConfig()
    """The optimisation loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Metrics and conventions."""
    search: dict[str, SearchRange] = {}
    """Search space: ``"model.reg" = {low = 1e-6, high = 1e-2, log = true}``; not used by run."""
    run: RunSection = RunSection()
    """Label, seed and machine."""
    paper: PaperSection | None = None
    """Source of the published numbers."""
    published: dict[str, float] = {}
    """Published test metrics, for example ``"recall@20" = 0.0754``."""
    tolerance: dict[str, float] = {}
    """Largest absolute difference that counts as a match, per published metric."""

    @model_validator(mode="before")
    @classmethod
    def _natural_split(cls, table: object) -> object:
        """Without ``split.kind``: the split that the data bring, or the catalog's usual one."""
        from graphrec.datasets.catalog import entry_of

        if not isinstance(table, Mapping) or not isinstance(table.get("data"), Mapping):
            return table
        data, chosen = table["data"], table.get("split", {})
        if not isinstance(chosen, Mapping) or "kind" in chosen:
            return table
        kind = None
        if isinstance(data.get("name"), str):
            kind = entry_of(data["name"]).split
        elif data.get("train") or data.get("label") or data.get("arrays"):
            kind = "given"
        return table if kind is None else {**table, "split": {**chosen, "kind": kind}}

    @field_validator("data", mode="before")
    @classmethod
    def _catalog_defaults(cls, value: object) -> object:
        from graphrec.datasets.catalog import with_catalog_defaults

        return with_catalog_defaults(value) if isinstance(value, Mapping) else value

    @field_validator("features", mode="before")
    @classmethod
    def _encoder_configs(cls, value: object) -> object:
        from graphrec.features.encode import ENCODERS

        if not isinstance(value, Mapping):
            return value
        return {
            name: _typed(
                table,
                "encoder",
                lambda encoder: resolve(encoder, ENCODERS, "encoder").Config,
                f"features.{name}",
            )
            for name, table in value.items()
        }

    @field_validator("model", mode="before")
    @classmethod
    def _model_config(cls, value: object) -> object:
        from graphrec.models import MODELS

        return _typed(value, "name", lambda name: resolve(name, MODELS, "model").Config, "model")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        from graphrec.evaluation.metrics import parse_metric
        from graphrec.evaluation.protocol import protocol_of

        protocol_of(self.evaluation)
        for metric in (*self.evaluation.metrics, *self.published):
            parse_metric(metric)
        unknown = set(self.tolerance) - set(self.published)
        if unknown:
            raise ValueError(f"tolerance without a published value: {', '.join(sorted(unknown))}")
        if self.published and self.paper is None:
            raise ValueError("published values need a [paper] table that says where they stand")
        return self


def _typed(value: object, key: str, config_of: Callable[[str], type[Config]], where: str) -> object:
    """Validate a raw table with the ``Config`` class that its own ``key`` names."""
    if not isinstance(value, Mapping):
        return value
    name = value.get(key)
    if not isinstance(name, str):
        raise ConfigError(f"[{where}] needs {key} = the name of a class; see graphrec list.")
    config_class = config_of(name)
    try:
        return config_class.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError(explain(error, config_class, where)) from error
