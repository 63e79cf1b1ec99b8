"""Define ``RunConfig``, the configuration of a whole experiment, from the tables of all packages.

Every stage receives only its own table. An unknown key is an error. Relative paths are relative to
the working directory and are stored absolute, so that the ``config.json`` of a run can be run again
from anywhere. ``config.file`` reads and overrides configurations.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from graphrec.config.tune import TuneConfig
from graphrec.core.config import (
    Config,
    Json,
)
from graphrec.core.errors import ConfigError
from graphrec.core.explain import explain
from graphrec.core.names import NotImportedError
from graphrec.core.ranges import SearchRange
from graphrec.data.catalog.layouts import entry_of, with_catalog_defaults
from graphrec.data.config import (
    DataConfig,
    SplitConfig,
)
from graphrec.evaluation import EvaluationConfig, parse_metric, protocol_of
from graphrec.features.config import FeatureConfig
from graphrec.features.controls import Control, require_controlled
from graphrec.features.encode import config_of
from graphrec.features.missing.config import MissingConfig
from graphrec.models import model_of
from graphrec.models.config import ModelConfig
from graphrec.training.config import TrainingConfig
from graphrec.training.distillation.config import DistillConfig


class RunSection(Config):
    """Settings of a run: label, seed and machine."""

    incidental: ClassVar[frozenset[str]] = frozenset({"name", "device", "memory_mb"})

    name: str = ""
    """Label in tables; by default the name of the configuration file."""
    seed: int = 0
    """Seed of every random stream except the split's."""
    device: str = "auto"
    """Device of the model: auto (CUDA if there is one), cpu, cuda or cuda:N."""
    backend: Literal["auto", "torch", "pyg", "dgl"] = "auto"
    """Backend with the kernels of message passing."""
    recommend_k: PositiveInt = 20
    """Length of the lists in ``recommendations.parquet``."""
    memory_mb: PositiveInt | None = None
    """Limit in MiB of the memory that a dense step is estimated to need (EASE, similarities of
    items, a block of scores); by default half of the free memory."""


class PaperSection(Config):
    """Source of the published numbers of a paper configuration."""

    key: str
    """Key of the entry in references.bib."""
    table: str
    """Table, figure or file of the source that holds the numbers."""
    code: str = ""
    """Reference code, with its commit where known."""
    notes: str = ""
    """Differences from the paper's set-up."""


class RunConfig(Config):
    """Configuration of a whole experiment."""

    incidental: ClassVar[frozenset[str]] = frozenset({"search", "tune", "paper"})

    data: DataConfig
    """Interactions and item table."""
    split: SplitConfig = SplitConfig()
    """Division into train, valid and test."""
    features: dict[str, SerializeAsAny[FeatureConfig]] = {}
    """Features of items, ``[features.NAME]``: one table per modality."""
    user_features: dict[str, SerializeAsAny[FeatureConfig]] = {}
    """Features of users, ``[user_features.NAME]``; only encoders that describe the training part
    are allowed."""
    controls: dict[str, Control] = {}
    """Controls: ``NAME = "shuffled"`` permutes the rows of ``[features.NAME]`` among the items
    that have one, ``"noise"`` replaces them by noise of equal moments; both follow ``run.seed``."""
    missing: MissingConfig = MissingConfig()
    """Modalities that items lack, or that are removed on purpose."""
    model: SerializeAsAny[ModelConfig]
    """The model and its settings."""
    distill: DistillConfig = DistillConfig()
    """Teacher of the model: a finished run."""
    training: TrainingConfig = TrainingConfig()
    """Optimisation loop."""
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
        """Set ``split.kind``, if absent, to the split of the data or the catalog's usual one."""
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
        with suppress(NotImportedError):
            return with_catalog_defaults(value) if isinstance(value, Mapping) else value
        return value

    @field_validator("features", "user_features", mode="before")
    @classmethod
    def _encoder_configs(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, Mapping):
            return value
        side: Literal["items", "users"] = "users" if info.field_name == "user_features" else "items"
        return {
            name: _typed(
                table,
                "encoder",
                partial(config_of, table, side),
                f"{info.field_name}.{name}",
                FeatureConfig,
            )
            for name, table in value.items()
        }

    @field_validator("model", mode="before")
    @classmethod
    def _model_config(cls, value: object) -> object:
        return _typed(value, "name", lambda name: model_of(name).Config, "model", ModelConfig)

    @field_validator("training", mode="before")
    @classmethod
    def _training_defaults(cls, value: object, info: ValidationInfo) -> object:
        """Take settings that are not given from the defaults of the model, where it has some."""
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

    Where that class is not imported, ``base`` is validated and the other settings are accepted
    without a check.
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
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from error
    try:
        return config_class.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError(explain(error, config_class, where)) from error


def validate(table: Mapping[str, Json]) -> RunConfig:
    """Validate a raw table, but not its search space.

    Raises:
        ConfigError: as in ``build_config``.
    """
    try:
        return RunConfig.model_validate(dict(table))
    except ValidationError as error:
        raise ConfigError(explain(error, RunConfig)) from error
