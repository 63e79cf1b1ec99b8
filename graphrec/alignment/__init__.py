"""Modalities that agree, learn evenly and stay sparse: terms beside the ranking loss."""

from graphrec.alignment.augment import NoisyRows, mixed
from graphrec.alignment.settings import AlignmentConfig
from graphrec.alignment.terms import AlignmentTerms, Step

__all__ = ["AlignmentConfig", "AlignmentTerms", "NoisyRows", "Step", "mixed"]
