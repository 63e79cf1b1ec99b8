"""Draw batches for a model: pairs with exact negatives, rows of users, or items in order."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from graphrec.core.errors import DataError
from graphrec.data import Interactions
from graphrec.models import Batch, SequenceBatch, UserBatch
from graphrec.models.base import BatchKind
from graphrec.training.config import TrainingConfig


class NegativeSampler:
    """Sampler of items that a user has not taken in training, in one pass and without rejection.

    Items lie side by side on a line of length W, each as wide as its integer weight: 1 for
    ``uniform``, its training count for ``popularity``. Cut out the items p_0 < p_1 < ... of the
    user and draw r on what is left; p_j was cut out before r if t_j <= r, where t_j is the start
    of p_j less the widths cut out before it. Adding those widths gives a position on the whole
    line, and so the item. The t_j of all users form one sorted array for one binary search.

    Raises:
        DataError: a user has taken every item that can be drawn.
    """

    def __init__(self, train: Interactions, kind: str, device: torch.device) -> None:
        matrix = train.matrix
        start = torch.from_numpy(matrix.indptr).long()
        items = torch.from_numpy(matrix.indices).long()
        users = torch.repeat_interleave(torch.arange(train.num_users), start.diff())
        counts = torch.from_numpy(train.item_degrees).long()
        weights = torch.ones_like(counts) if kind == "uniform" else counts
        line = weights.cumsum(0)
        cut = functional.pad(weights[items].cumsum(0), (1, 0))  # widths of all earlier pairs
        free = line[-1] - (cut[start[1:]] - cut[start[:-1]])
        if bool((free == 0).any()):
            raise DataError(
                f"The user with internal id {int(free.argmin())} has taken all "
                f"{int((weights > 0).sum())} items that training.negatives = {kind!r} can draw, "
                f"so no negative exists. Remove the user, add items, or use 'uniform'."
            )
        thresholds = (line - weights)[items] - (cut[:-1] - cut[start[users]])
        self.length = int(line[-1])
        self.line, self.cut, self.start = line.to(device), cut.to(device), start.to(device)
        self.free = free.to(device)
        self.keys = (users * self.length + thresholds).to(device)

    def sample(self, users: Tensor, num: int, rng: torch.Generator) -> Tensor:
        """Return ``[B, num]`` items for ``users`` ``[B]``; none is a training item of its user."""
        users = users.unsqueeze(1)
        shape = (len(users), num)
        share = torch.rand(shape, generator=rng, device=users.device, dtype=torch.float64)
        position = (share * self.free[users]).long()
        passed = torch.searchsorted(self.keys, users * self.length + position, right=True)
        position += self.cut[passed] - self.cut[self.start[users]]
        return torch.searchsorted(self.line, position, right=True)


def shuffled_batches(
    train: Interactions, batch_size: int, rng: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``users [B], pos [B]`` of every training pair once, in random order."""
    order = torch.randperm(len(train), generator=rng)
    users = torch.from_numpy(train.users).long()[order].to(device)
    items = torch.from_numpy(train.items).long()[order].to(device)
    yield from zip(users.split(batch_size), items.split(batch_size), strict=True)


def user_batches(
    train: Interactions, batch_size: int, rng: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``users [B], pos [B]`` of E draws with replacement: a user, then one of its items.

    Every user with training items is equally likely, whatever their number, and so is every item
    of a user: pair (u, i) has the probability 1 / (U d_u), where d_u counts the items of u.

    Source: he2020lightgcn, UniformSample_original_python of its code.
    """
    start = torch.from_numpy(train.matrix.indptr).long()
    lengths = start.diff()
    trained = lengths.nonzero().squeeze(1)
    users = trained[torch.randint(len(trained), (len(train),), generator=rng)]
    positions = torch.rand(len(train), generator=rng, dtype=torch.float64) * lengths[users]
    items = torch.from_numpy(train.matrix.indices).long()[start[users] + positions.long()]
    pairs = users.to(device), items.to(device)
    yield from zip(*(ids.split(batch_size) for ids in pairs), strict=True)


SAMPLING = {"pairs": shuffled_batches, "users": user_batches}
"""Functions that draw the positives of an epoch, by ``training.sampling``."""

Batches: TypeAlias = Iterator[Batch | UserBatch | SequenceBatch]


class Batching:
    """Batches of each epoch, drawn anew, for models of one kind.

    Args:
        kind: the kind of batches that the model declares as ``Model.batches``.
        train: the training part.
        config: the settings of training.
        device: device of the batches.

    Raises:
        DataError: negatives do not exist, or items are wanted in an order that the data lack.
    """

    def __init__(
        self, kind: BatchKind, train: Interactions, config: TrainingConfig, device: torch.device
    ) -> None:
        self.train, self.config, self.device = train, config, device
        ways: dict[BatchKind, Callable[[torch.Generator, torch.Generator], Batches]] = {
            "pairs": self._pairs,
            "users": self._users,
            "sequences": self._sequences,
        }
        self.draw = ways[kind]
        if kind == "pairs":
            self.sampler = NegativeSampler(train, config.negatives, device)
        if kind == "sequences":
            self.sequences = sequences_of(train)

    def _pairs(self, order: torch.Generator, negatives: torch.Generator) -> Iterator[Batch]:
        config = self.config
        pairs = SAMPLING[config.sampling](self.train, config.batch_size, order, self.device)
        for users, pos in pairs:
            yield Batch(users, pos, self.sampler.sample(users, config.num_negatives, negatives))

    def _users(self, order: torch.Generator, _: torch.Generator) -> Iterator[UserBatch]:
        for users in self._shuffled_users(order):
            rows = self.train.matrix[users.numpy()].toarray()
            yield UserBatch(users.to(self.device), torch.from_numpy(rows).to(self.device))

    def _sequences(self, order: torch.Generator, _: torch.Generator) -> Iterator[SequenceBatch]:
        for users in self._shuffled_users(order):
            lists = [self.sequences[user] for user in users.tolist()]
            items = torch.full((len(lists), max(map(len, lists))), -1, dtype=torch.int64)
            for row, sequence in zip(items, lists, strict=True):
                row[len(row) - len(sequence) :] = sequence
            yield SequenceBatch(users.to(self.device), items.to(self.device))

    def _shuffled_users(self, order: torch.Generator) -> tuple[Tensor, ...]:
        """Split the users with training items into batches, in random order."""
        users = torch.from_numpy(np.flatnonzero(self.train.user_degrees))
        users = users[torch.randperm(len(users), generator=order)]
        return users.split(self.config.batch_size)


def sequences_of(train: Interactions) -> list[Tensor]:
    """Return the items of every user in order of time, the latest last.

    Items of equal times are in the order of their ids.

    Raises:
        DataError: the data have no times.
    """
    if train.times is None:
        raise DataError(
            "A model that trains on sequences needs the time of every interaction, and these data "
            "have none. Name the column with data.time, or choose another model."
        )
    order = np.lexsort((train.items, train.times, train.users))
    items = torch.from_numpy(train.items[order].astype(np.int64))
    counts = np.bincount(train.users, minlength=train.num_users)
    return list(items.split(counts.tolist()))
