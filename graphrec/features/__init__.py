"""Item content -> Features: per modality a matrix of values and a mask of what is present."""

from graphrec.features.encode import ENCODERS, encode

__all__ = ["ENCODERS", "encode"]
