"""The explicit table of models: one file, one paper.

``MODELS`` names where each class is defined; a module is imported when its model is first asked
for.
"""

from graphrec.core.errors import ConfigError
from graphrec.core.names import Deferred, resolve
from graphrec.models.base import (
    Batch,
    EmbeddingModel,
    Inputs,
    Model,
    ParameterGroup,
    SequenceBatch,
    SequenceModel,
    UserBatch,
    UserModel,
    VectorModel,
)
from graphrec.models.config import ModelConfig

MODELS: Deferred[type[Model]] = Deferred(
    {
        "popular": "graphrec.models.popular:Popular",
        "itemknn": "graphrec.models.itemknn:ItemKNN",
        "ease": "graphrec.models.ease:EASE",
        "mf": "graphrec.models.mf:MF",
        "lightgcn": "graphrec.models.lightgcn:LightGCN",
        "ngcf": "graphrec.models.ngcf:NGCF",
        "joint_embedding": "graphrec.models.joint_embedding:JointEmbedding",
        "modality_attention_gcn": "graphrec.models.modality_attention_gcn:ModalityAttentionGCN",
    }
)

__all__ = [
    "MODELS",
    "Batch",
    "EmbeddingModel",
    "Inputs",
    "Model",
    "ParameterGroup",
    "SequenceBatch",
    "SequenceModel",
    "UserBatch",
    "UserModel",
    "VectorModel",
    "model_of",
]


def model_of(name: str) -> type[Model]:
    """Find a model: a name of ``MODELS``, or a class of your own, ``"package.module:Class"``.

    Raises:
        ConfigError: the name is unknown, or the class is no model.
    """
    found = resolve(name, MODELS, "model", Model)
    if not (isinstance(found.Config, type) and issubclass(found.Config, ModelConfig)):
        raise ConfigError(
            f"The model {name!r} has a Config that is no subclass of "
            f"graphrec.models.config.ModelConfig. Make it one."
        )
    return found
