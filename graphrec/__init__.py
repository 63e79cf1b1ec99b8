"""Train and measure multimodal recommenders with graph neural networks.

raw files -> ``load`` -> Dataset -> ``split`` -> Split (train, valid, sealed test) -> ``encode`` ->
Features -> a model of ``MODELS`` -> ``fit`` -> ``evaluate`` -> Result. ``run`` does all of this and
writes a folder; ``recommend`` reads such a folder.
"""

import os
from importlib import metadata

# Idle OpenMP threads sleep instead of spinning, unless the user chose otherwise. Must come before
# torch. On a machine with other work, threads that spin while they wait for each other made a
# training step several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from graphrec.config import RunConfig, build_config, load_config
from graphrec.core.errors import ConfigError, DataError, GraphRecError, TrainingError
from graphrec.data import Dataset, Features, Interactions, Split, load, split
from graphrec.evaluation import Protocol, evaluate
from graphrec.experiment.result import Result, read_result
from graphrec.experiment.run import run
from graphrec.features import encode
from graphrec.models import MODELS, Inputs, Model
from graphrec.serving.embeddings import item_embeddings
from graphrec.serving.recommend import recommend
from graphrec.studies.distill import distill
from graphrec.training import fit
from graphrec.tuning import tune

__version__ = metadata.version("graphrec")

__all__ = [
    "MODELS",
    "ConfigError",
    "DataError",
    "Dataset",
    "Features",
    "GraphRecError",
    "Inputs",
    "Interactions",
    "Model",
    "Protocol",
    "Result",
    "RunConfig",
    "Split",
    "TrainingError",
    "build_config",
    "distill",
    "encode",
    "evaluate",
    "fit",
    "item_embeddings",
    "load",
    "load_config",
    "read_result",
    "recommend",
    "run",
    "split",
    "tune",
]
