"""Assemble the settings of an experiment: all tables, the file, overrides and search space.

Each package defines its own table in its ``config`` module; ``run.RunConfig`` assembles them.
"""

from graphrec.config.file import build_config, load_config
from graphrec.config.run import PaperSection, RunConfig, RunSection
from graphrec.config.tune import TuneConfig
from graphrec.core.ranges import SearchRange
from graphrec.data.config import CleanConfig, ColumnRule, DataConfig, ItemColumn, SplitConfig
from graphrec.evaluation.config import EvaluationConfig
from graphrec.features.config import FeatureConfig
from graphrec.features.missing.config import MissingConfig
from graphrec.models.config import ModelConfig
from graphrec.training.config import TrainingConfig
from graphrec.training.distillation.config import DistillConfig

__all__ = [
    "CleanConfig",
    "ColumnRule",
    "DataConfig",
    "DistillConfig",
    "EvaluationConfig",
    "FeatureConfig",
    "ItemColumn",
    "MissingConfig",
    "ModelConfig",
    "PaperSection",
    "RunConfig",
    "RunSection",
    "SearchRange",
    "SplitConfig",
    "TrainingConfig",
    "TuneConfig",
    "build_config",
    "load_config",
]
