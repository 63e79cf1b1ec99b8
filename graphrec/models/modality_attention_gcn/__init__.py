"""The flagship: a graph model with attention over modalities."""

from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN

__all__ = ["ModalityAttentionGCN"]
