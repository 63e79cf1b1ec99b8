"""The explicit table of models: one file, one paper."""

from graphrec.core.errors import ConfigError
from graphrec.core.names import resolve
from graphrec.models.base import Batch, EmbeddingModel, Inputs, Model, VectorModel
from graphrec.models.config import ModelConfig
from graphrec.models.ease import EASE
from graphrec.models.itemknn import ItemKNN
from graphrec.models.joint_embedding import JointEmbedding
from graphrec.models.lightgcn import LightGCN
from graphrec.models.mf import MF
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.models.ngcf import NGCF
from graphrec.models.popular import Popular

MODELS: dict[str, type[Model]] = {
    "popular": Popular,
    "itemknn": ItemKNN,
    "ease": EASE,
    "mf": MF,
    "lightgcn": LightGCN,
    "ngcf": NGCF,
    "joint_embedding": JointEmbedding,
    "modality_attention_gcn": ModalityAttentionGCN,
}

__all__ = ["MODELS", "Batch", "EmbeddingModel", "Inputs", "Model", "VectorModel", "model_of"]


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
