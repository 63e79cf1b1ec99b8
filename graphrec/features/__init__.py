"""Item content -> Features: per modality a matrix of values and a mask of who has one."""

from graphrec.data import Features, Modality
from graphrec.features.encode import ENCODERS, encode

__all__ = ["ENCODERS", "Features", "Modality", "encode"]
