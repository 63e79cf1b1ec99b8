"""graphrec: multimodal recommendation with graph neural networks.

raw files -> ``load`` -> Dataset -> ``split`` -> Split (train, valid, sealed test) -> ``encode`` ->
Features -> a model of ``MODELS`` -> ``fit`` -> ``evaluate`` -> Result. ``run`` does all of it and
writes a folder; ``recommend`` reads one.
"""

import os
from importlib import metadata
from typing import TYPE_CHECKING

# Idle OpenMP threads sleep instead of spinning, unless you chose otherwise. Must come before torch.
# On a machine with other work, threads that spin for each other made a step several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from graphrec.core.names import deferred

if TYPE_CHECKING:
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

FACE = {
    "ConfigError": "graphrec.core.errors:ConfigError",
    "DataError": "graphrec.core.errors:DataError",
    "Dataset": "graphrec.data:Dataset",
    "Features": "graphrec.data:Features",
    "GraphRecError": "graphrec.core.errors:GraphRecError",
    "Inputs": "graphrec.models:Inputs",
    "Interactions": "graphrec.data:Interactions",
    "MODELS": "graphrec.models:MODELS",
    "Model": "graphrec.models:Model",
    "Protocol": "graphrec.evaluation:Protocol",
    "Result": "graphrec.experiment.result:Result",
    "RunConfig": "graphrec.config:RunConfig",
    "Split": "graphrec.data:Split",
    "TrainingError": "graphrec.core.errors:TrainingError",
    "build_config": "graphrec.config:build_config",
    "distill": "graphrec.studies.distill:distill",
    "encode": "graphrec.features:encode",
    "evaluate": "graphrec.evaluation:evaluate",
    "fit": "graphrec.training:fit",
    "item_embeddings": "graphrec.serving.embeddings:item_embeddings",
    "load": "graphrec.data:load",
    "load_config": "graphrec.config:load_config",
    "read_result": "graphrec.experiment.result:read_result",
    "recommend": "graphrec.serving.recommend:recommend",
    "run": "graphrec.experiment.run:run",
    "split": "graphrec.data:split",
    "tune": "graphrec.tuning:tune",
}
"""Where each public name is defined: ``import graphrec`` is quick, and loads what is asked for."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in FACE:
        raise AttributeError(f"module 'graphrec' has no attribute {name!r}")
    found = deferred(FACE[name])
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *__all__])
