"""Define the split into train, valid and a sealed test part."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphrec.core.digest import digest
from graphrec.core.errors import DataError
from graphrec.data.dataset import Dataset, Step
from graphrec.data.interactions import PARTS, Interactions


class SealedTest:
    """The test part, closed until ``open`` is called; every opening is recorded.

    Training, early stopping and tuning receive train and valid only. The test interactions are
    reached only through ``open``, which takes a reason and leaves a trace in the result.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions
        self.openings: list[str] = []

    def __len__(self) -> int:
        return len(self._interactions)

    @property
    def num_users(self) -> int:
        """Return the number of users with a test item, without revealing which users."""
        return int((self._interactions.user_degrees > 0).sum())

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the sealed pairs, without revealing the pairs."""
        return digest(self._interactions.users, self._interactions.items)

    def open(self, reason: str) -> Interactions:
        """Return the test interactions and record the reason for opening them."""
        self.openings.append(reason)
        return self._interactions


class WithheldTest(SealedTest):
    """Placeholder for the test part. Tuning receives it; opening it raises."""

    def __init__(self, sealed: SealedTest) -> None:
        nothing = np.empty(0, dtype=np.int32)
        super().__init__(Interactions(nothing, nothing, 0, 0))
        self._fingerprint, self._num_users = sealed.fingerprint, sealed.num_users

    @property
    def num_users(self) -> int:
        """Return the number of users of the withheld part."""
        return self._num_users

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the withheld part."""
        return self._fingerprint

    def open(self, reason: str) -> Interactions:
        """Refuse to open the withheld part.

        Raises:
            PermissionError: always.
        """
        raise PermissionError(f"The test part is withheld; it was asked for: {reason}")


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts over one vocabulary; the test part is sealed."""

    train: Interactions
    valid: Interactions
    test: SealedTest
    rule: str
    steps: tuple[Step, ...] = field(default=())

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 of the three parts."""
        pairs = (self.train.users, self.train.items, self.valid.users, self.valid.items)
        return digest(*pairs, self.test.fingerprint)

    def without_test(self) -> "Split":
        """Return this split, with the same fingerprint, and a placeholder for the test part."""
        return Split(self.train, self.valid, WithheldTest(self.test), self.rule, self.steps)


def require_disjoint(dataset: Dataset, parts: npt.NDArray[np.int8]) -> None:
    """Refuse a split in which one user-item pair stands in two parts.

    Raises:
        DataError: there is such a pair; the message names it and both parts.
    """
    data = dataset.interactions
    keys = data.users.astype(np.int64) * data.num_items + data.items
    order = np.lexsort((parts, keys))
    keys, sorted_parts = keys[order], parts[order]
    clash = np.flatnonzero((keys[1:] == keys[:-1]) & (sorted_parts[1:] != sorted_parts[:-1]))
    if len(clash):
        row = clash[0]
        user, item = divmod(int(keys[row]), data.num_items)
        raise DataError(
            f"Data set {dataset.name!r}: the pair (user {dataset.user_ids[user]!r}, item "
            f"{dataset.item_ids[item]!r}) stands in both the {PARTS[sorted_parts[row]]} and the "
            f"{PARTS[sorted_parts[row + 1]]} part; {len(clash)} pairs do. Remove them from one "
            f"part: a test item that was trained on would be counted as a success."
        )
