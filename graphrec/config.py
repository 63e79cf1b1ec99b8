"""The tables of a configuration, one docstring per field; ``RunConfig`` is a whole experiment.

Every stage receives only its own table. A key that no stage knows is an error. Relative paths are
relative to the working directory and are stored absolute, so that the ``config.json`` of a run
can be run again from anywhere. ``config_file`` reads and overrides them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from graphrec.config_base import (
    DATA_FOLDER,
    PLACE,
    AbsolutePath,
    Config,
    Fraction,
    Json,
    TimeFormat,
    absolute,
)
from graphrec.config_controls import Control, require_controlled
from graphrec.config_data import (
    CleanConfig,
    ColumnRule,
    DataConfig,
    Format,
    ItemColumn,
    SplitConfig,
    TimeUnit,
)
from graphrec.config_distill import DistillConfig
from graphrec.config_missing import MissingConfig
from graphrec.config_tune import SearchRange, TuneConfig
from graphrec.errors import ConfigError
from graphrec.explain import explain
from graphrec.names import NotImportedError

__all__ = [
    "AbsolutePath",
    "CleanConfig",
    "ColumnRule",
    "Config",
    "DataConfig",
    "DistillConfig",
    "EvaluationConfig",
    "FeatureConfig",
    "Format",
    "Fraction",
    "ItemColumn",
    "Json",
    "MissingConfig",
    "ModelConfig",
    "PaperSection",
    "RunConfig",
    "RunSection",
    "SearchRange",
    "SplitConfig",
    "TimeFormat",
    "TimeUnit",
    "TrainingConfig",
    "TuneConfig",
    "absolute",
]


class FeatureConfig(Config):
    """One modality; ``encoder`` chooses the class that adds the other settings."""

    encoder: str
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""

    def identity(self) -> dict[str, Json]:
        """As in every table; the encoder is always named, a ``local:`` one without its folder."""
        prefix, colon, _ = self.encoder.partition(":")
        named = prefix + colon + PLACE if prefix == "local" else self.encoder
        return {**super().identity(), "encoder": named}

    def located(self, folder: Path) -> Self:
        """Return the settings with ``{data}`` at the start of paths replaced by ``folder``."""
        start = f"{DATA_FOLDER}/"
        paths = {
            name: type(value)(folder / str(value).removeprefix(start))
            for name, value in self
            if isinstance(value, str | Path) and str(value).startswith(start)
        }
        return self.model_copy(update=paths)


class ModelConfig(Config):
    """Settings that every model has; ``name`` chooses the class that adds the others."""

    name: str
    """A name of ``MODELS`` (``graphrec list models``) or ``"package.module:Class"``."""

    def at_defaults(self, names: Iterable[str]) -> Self:
        """These settings with some at their defaults, and with them all that is idle then."""
        left, gone = self, list(names)
        while gone:
            left = left.model_copy(update={name: self._default(name) for name in gone})
            gone = [name for name, _ in left.in_vain()]
        return left

    def reduced(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """These settings where only some modalities are left, without what needs the others.

        Args:
            matrices: modalities with rows. lists: modalities that are lists of neighbours.

        Raises:
            ConfigError: nothing would be left to learn from.
        """
        return self


class TrainingConfig(Config):
    """The optimisation loop. Closed-form models have none and ignore this table by design.

    A model may have defaults of its own here: ``Model.training_defaults``.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

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
    sampling: Literal["pairs", "users"] = "pairs"
    """Positives of an epoch: every training pair once; or as many draws of a user and then of one
    of its items, in which a user with few items counts as much as one with many."""
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

    incidental: ClassVar[frozenset[str]] = frozenset({"memory_mb"})

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
    baselines: tuple[str, ...] | None = None
    """Models run beside this one, with their default settings, on the same split; [] runs none. By
    default popular, itemknn and ease, as far as their memory and time are small on the data."""
    memory_mb: PositiveInt = 512
    """Memory for one block of scores; changes speed, never a result."""

    def identity(self) -> dict[str, Json]:
        """Return the settings that make the experiment; the usual baselines or none are alike."""
        settings = super().identity()
        if not self.baselines:
            settings.pop("baselines", None)
        return settings

    @field_validator("top_k")
    @classmethod
    def _sorted(cls, top_k: tuple[int, ...]) -> tuple[int, ...]:
        if not top_k:
            raise ValueError("needs at least one cut-off")
        return tuple(sorted(set(top_k)))


class RunSection(Config):
    """Label, seed and machine of a run."""

    incidental: ClassVar[frozenset[str]] = frozenset({"name", "device", "memory_mb"})

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
    memory_mb: PositiveInt | None = None
    """Most MiB that a dense step may need (EASE, similarities of items, a block of scores), which
    is estimated before it begins; by default half of the free memory."""


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

    incidental: ClassVar[frozenset[str]] = frozenset({"search", "tune", "paper"})

    data: DataConfig
    """Interactions and item table."""
    split: SplitConfig = SplitConfig()
    """Train, valid, test."""
    features: dict[str, SerializeAsAny[FeatureConfig]] = {}
    """``[features.NAME]``: one table per modality."""
    user_features: dict[str, SerializeAsAny[FeatureConfig]] = {}
    """``[user_features.NAME]``: the same for users, of whom the training part alone can tell."""
    controls: dict[str, Control] = {}
    """``NAME = "shuffled"`` deals the rows of ``[features.NAME]`` out among the items that have
    one, ``"noise"`` replaces them by noise of equal moments; both follow from ``run.seed``."""
    missing: MissingConfig = MissingConfig()
    """Modalities that items lack, or are made to lack."""
    model: SerializeAsAny[ModelConfig]
    """The model and its settings."""
    distill: DistillConfig = DistillConfig()
    """A finished run that teaches the model."""
    training: TrainingConfig = TrainingConfig()
    """The optimisation loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Metrics and conventions."""
    search: dict[str, SearchRange] = {}
    """Search space: ``"model.reg" = {low = 1e-6, high = 1e-2, log = true}``; not used by run."""
    tune: TuneConfig = TuneConfig()
    """Budget and methods of ``graphrec tune``."""
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
            with suppress(NotImportedError):
                kind = entry_of(data["name"]).split
        elif data.get("train") or data.get("label") or data.get("arrays"):
            kind = "given"
        return table if kind is None else {**table, "split": {**chosen, "kind": kind}}

    @field_validator("data", mode="before")
    @classmethod
    def _catalog_defaults(cls, value: object) -> object:
        from graphrec.datasets.catalog import with_catalog_defaults

        with suppress(NotImportedError):
            return with_catalog_defaults(value) if isinstance(value, Mapping) else value
        return value

    @field_validator("features", "user_features", mode="before")
    @classmethod
    def _encoder_configs(cls, value: object, info: ValidationInfo) -> object:
        from graphrec.features.encode import encoder_of

        if not isinstance(value, Mapping):
            return value
        side: Literal["items", "users"] = "users" if info.field_name == "user_features" else "items"
        return {
            name: _typed(
                table,
                "encoder",
                lambda encoder: encoder_of(encoder, side).Config,
                f"{info.field_name}.{name}",
                FeatureConfig,
            )
            for name, table in value.items()
        }

    @field_validator("model", mode="before")
    @classmethod
    def _model_config(cls, value: object) -> object:
        from graphrec.models import model_of

        return _typed(value, "name", lambda name: model_of(name).Config, "model", ModelConfig)

    @field_validator("training", mode="before")
    @classmethod
    def _training_defaults(cls, value: object, info: ValidationInfo) -> object:
        """Settings that are not given are those of the model, where it has its own."""
        from graphrec.models import model_of

        model = info.data.get("model")  # None where it is not valid
        if isinstance(value, TrainingConfig):
            value = value.model_dump(exclude_unset=True)
        if not isinstance(model, ModelConfig) or not isinstance(value, Mapping):
            return value
        with suppress(NotImportedError):
            return {**model_of(model.name).training_defaults, **value}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        from graphrec.evaluation.metrics import parse_metric
        from graphrec.evaluation.protocol import protocol_of

        require_controlled(self.controls, self.features)
        self.missing.require_features(self.features)
        with suppress(NotImportedError):
            protocol_of(self.evaluation)
        for metric in (*self.evaluation.metrics, *self.published):
            parse_metric(metric)
        unknown = set(self.tolerance) - set(self.published)
        if unknown:
            raise ValueError(f"tolerance without a published value: {', '.join(sorted(unknown))}")
        if self.published and self.paper is None:
            raise ValueError("published values need a [paper] table that says where they stand")
        return self


def _typed(
    value: object,
    key: str,
    config_of: Callable[[str], type[Config]],
    where: str,
    base: type[Config],
) -> object:
    """Validate a raw table with the ``Config`` class that its own ``key`` names.

    Where that class is not imported, ``base`` is validated and the other settings are taken as
    they are.
    """
    if not isinstance(value, Mapping):
        return value
    name = value.get(key)
    if not isinstance(name, str):
        raise ConfigError(f"[{where}] needs {key} = the name of a class; see graphrec list.")
    try:
        config_class = config_of(name)
    except NotImportedError:
        config_class = type(base.__name__, (base,), {"model_config": ConfigDict(extra="allow")})
    try:
        return config_class.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError(explain(error, config_class, where)) from error
