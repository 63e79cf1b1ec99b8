"""The explicit table of models: one file, one paper."""

from graphrec.models.base import Batch, EmbeddingModel, Inputs, Model, VectorModel
from graphrec.models.ease import EASE
from graphrec.models.itemknn import ItemKNN
from graphrec.models.joint_embedding import JointEmbedding
from graphrec.models.lightgcn import LightGCN
from graphrec.models.mf import MF
from graphrec.models.modality_attention_gcn import ModalityAttentionGCN
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

__all__ = ["MODELS", "Batch", "EmbeddingModel", "Inputs", "Model", "VectorModel"]
