"""Missing modalities: cells of the table item x modality are removed, then filled."""

from graphrec.features.missing.fill import STRATEGIES, Change, remove_and_fill

__all__ = ["STRATEGIES", "Change", "remove_and_fill"]
