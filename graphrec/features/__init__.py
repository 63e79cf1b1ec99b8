"""Encode item content as Features: a matrix and a mask of present items for each modality."""

from graphrec.features.encode import ENCODERS, encode

__all__ = ["ENCODERS", "encode"]
