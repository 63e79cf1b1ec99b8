"""A split into train, valid and a sealed test part."""

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

    Training, early stopping and tuning are handed train and valid only. The one way to the
    test interactions is ``open``, which names its reason and leaves a trace in the result.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions
        self.openings: list[str] = []

    def __len__(self) -> int:
        return len(self._interactions)

    @property
    def num_users(self) -> int:
        """Number of users with a test item; reveals nothing of who they are."""
        return int((self._interactions.user_degrees > 0).sum())

    @property
    def fingerprint(self) -> str:
        """sha256 of the sealed pairs; reveals nothing of them."""
        return digest(self._interactions.users, self._interactions.items)

    def open(self, reason: str) -> Interactions:
        """Return the test interactions and record why they were opened."""
        self.openings.append(reason)
        return self._interactions


class WithheldTest(SealedTest):
    """Stands for a test part that is not there: tuning is handed this one."""

    def __init__(self, sealed: SealedTest) -> None:
        nothing = np.empty(0, dtype=np.int32)
        super().__init__(Interactions(nothing, nothing, 0, 0))
        self._fingerprint, self._num_users = sealed.fingerprint, sealed.num_users

    @property
    def num_users(self) -> int:
        """That of the part which is withheld."""
        return self._num_users

    @property
    def fingerprint(self) -> str:
        """That of the part which is withheld."""
        return self._fingerprint

    def open(self, reason: str) -> Interactions:
        """Refuse."""
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
        """sha256 of the three parts."""
        pairs = (self.train.users, self.train.items, self.valid.users, self.valid.items)
        return digest(*pairs, self.test.fingerprint)

    def without_test(self) -> "Split":
        """The same split, of the same fingerprint, whose test part is not there."""
        return Split(self.train, self.valid, WithheldTest(self.test), self.rule, self.steps)


def require_disjoint(dataset: Dataset, parts: npt.NDArray[np.int8]) -> None:
    """Raise DataError when one user-item pair stands in two parts of a split."""
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
