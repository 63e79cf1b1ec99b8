"""Define Interactions: user-item pairs as arrays over ids 0..n-1."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from graphrec.core.errors import ConfigError, DataError

Part = Literal["train", "valid", "test"]


PARTS: tuple[Part, ...] = ("train", "valid", "test")


IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Interactions:
    """E user-item pairs over a fixed vocabulary of U users and I items.

    Shapes:
        users, items: ``[E]`` int32. times: ``[E]`` int64 (seconds) or None.
        weights: ``[E]`` float32 (ratings, quantities) or None.
    """

    users: IntArray
    items: IntArray
    num_users: int
    num_items: int
    times: npt.NDArray[np.int64] | None = None
    weights: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def matrix(self) -> sp.csr_array:
        """Return the binary user-item matrix ``[U, I]``, float32; item ids ascend in a row."""
        ones = np.ones(len(self), dtype=np.float32)
        shape = (self.num_users, self.num_items)
        matrix = sp.csr_array((ones, (self.users, self.items)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    @cached_property
    def weighted_matrix(self) -> sp.csr_array:
        """Return the user-item matrix of the weights, ``[U, I]`` float32; sorted like ``matrix``.

        Raises:
            ConfigError: there are no weights.
            DataError: a weight is 0 or less.
        """
        if self.weights is None:
            raise ConfigError(
                "model.use_weights = true, but the data have no weights. Name their column in "
                "data.weight, or remove use_weights."
            )
        low = self.weights <= 0
        if low.any():
            raise DataError(
                f"model.use_weights = true needs weights above 0, but {int(low.sum())} of the "
                f"{len(self)} training interactions have less, the first is "
                f"{float(self.weights[low][0]):g}. Drop them with data.clean.min_weight, or "
                f"remove use_weights."
            )
        shape = (self.num_users, self.num_items)
        matrix = sp.csr_array((self.weights, (self.users, self.items)), shape=shape)
        matrix.sum_duplicates()
        return matrix

    @cached_property
    def user_degrees(self) -> npt.NDArray[np.int64]:
        """Return the number of distinct items of each user, ``[U]``."""
        return np.diff(self.matrix.indptr).astype(np.int64)

    @cached_property
    def item_degrees(self) -> npt.NDArray[np.int64]:
        """Return the number of distinct users of each item, ``[I]``."""
        return np.bincount(self.matrix.indices, minlength=self.num_items)

    def select(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Interactions":
        """Return the chosen rows over the same vocabulary."""
        return Interactions(
            users=self.users[chosen],
            items=self.items[chosen],
            num_users=self.num_users,
            num_items=self.num_items,
            times=None if self.times is None else self.times[chosen],
            weights=None if self.weights is None else self.weights[chosen],
        )
