"""Modalities that agree, learn evenly and stay sparse: terms beside the ranking loss."""

from graphrec.models.modality_attention_gcn.config import AlignmentConfig
from graphrec.models.modality_attention_gcn.content import NoisyRows
from graphrec.models.modality_attention_gcn.terms import AlignmentTerms, Step
from graphrec.nn.alignment.mixing import mixed

__all__ = ["AlignmentConfig", "AlignmentTerms", "NoisyRows", "Step", "mixed"]
