"""Define the conventions behind a number: masks, denominators, ties, choice of the epoch."""

import hashlib
import json
from typing import Literal, TypeAlias

from graphrec.core.config import Config
from graphrec.data import Interactions

Masks: TypeAlias = tuple[Literal["train", "valid"], ...]


class Protocol(Config):
    """Conventions for making lists, for denominators and averages, and for choosing the epoch."""

    name: str = "custom"
    """Name of the preset; not part of the fingerprint."""
    mask_at_valid: Masks = ("train",)
    """Parts whose items are not candidates of their user in validation."""
    mask_at_test: Masks = ("train", "valid")
    """Parts whose items are not candidates of their user in the test."""
    recall_denominator: Literal["relevant", "min_relevant_k"] = "relevant"
    """Denominator of recall: |T_u|, or min(|T_u|, k), with which 1 can be reached at every k."""
    ndcg_ideal: Literal["relevant", "retrieved"] = "relevant"
    """Ideal list of NDCG: min(|T_u|, k) hits, or only the hits retrieved in the top k. The second
    choice ignores every missed item and so inflates NDCG. It serves to compare with papers that use
    it; their code counts hits down to its longest cut-off, so compare at that cut-off."""
    ties: Literal["lowest_item_id"] = "lowest_item_id"
    """Rule for equal scores: items are ranked by ascending item id."""
    users: Literal["with_relevant_items"] = "with_relevant_items"
    """Users in the average: those with at least one relevant item in the measured part."""
    selection: Literal["valid", "last_epoch", "best_test_epoch"] = "valid"
    """Epoch to report: the best on valid, the last, or the best on test, which is optimistic."""
    valid_metric: str = "ndcg@20"
    """Metric of early stopping and of the choice of the epoch."""

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of all conventions except the name, and of METRICS_VERSION."""
        canonical = json.dumps(self.model_dump(mode="json", exclude={"name"}), sort_keys=True)
        return hashlib.sha256(f"{METRICS_VERSION}/{canonical}".encode()).hexdigest()

    def masks(
        self, stage: Literal["valid", "test"], train: Interactions, valid: Interactions
    ) -> tuple[Interactions, ...]:
        """Return the parts whose items are no candidates at this stage."""
        parts = {"train": train, "valid": valid}
        names = self.mask_at_valid if stage == "valid" else self.mask_at_test
        return tuple(parts[name] for name in names)


METRICS_VERSION = 1
"""Part of every protocol fingerprint; raised whenever a definition of a metric changes."""
