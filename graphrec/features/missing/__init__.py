"""Remove cells of the table item x modality, and fill those that are missing."""

from graphrec.features.missing.fill import STRATEGIES, Change, remove_and_fill

__all__ = ["STRATEGIES", "Change", "remove_and_fill"]
