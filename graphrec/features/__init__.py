"""Item content -> Features: per modality a matrix of values and a mask of the items that have one."""

from graphrec.features.encode import ENCODERS, encode

__all__ = ["ENCODERS", "encode"]
