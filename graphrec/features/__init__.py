"""Item content -> Features: per modality a matrix of values and a mask of who has one."""

from graphrec.features.encode import ENCODERS, encode
from graphrec.features.features import Features, Modality

__all__ = ["ENCODERS", "Features", "Modality", "encode"]
