"""Training pairs in random order, each with exact negatives; no loop over users or items."""

from collections.abc import Iterator

import torch
from torch import Tensor

from graphrec.datasets.interactions import Interactions
from graphrec.errors import DataError


class NegativeSampler:
    """Draws items that a user has not taken in training.

    uniform: exact in one pass and without rejection. Let p_0 < p_1 < ... be the items of the user
    and r uniform in [0, I - deg). The r-th item that is not among them is r + c, where c counts
    the p_j with p_j - j <= r; c comes from one binary search over all users' p_j - j.
    popularity: proportional to training counts, drawn again until no positive is left.

    Raises:
        DataError: a user has taken every item that can be drawn.
    """

    def __init__(self, train: Interactions, kind: str, device: torch.device) -> None:
        matrix = train.matrix
        indptr = torch.from_numpy(matrix.indptr).long()
        items = torch.from_numpy(matrix.indices).long()
        degrees = indptr.diff()
        if train.num_items <= int(degrees.max()):
            user = int(degrees.argmax())
            raise DataError(
                f"The user with internal id {user} has taken all {train.num_items} items in "
                f"training, so no negative exists. Remove the user or add items."
            )
        self.kind = kind
        self.num_items = train.num_items
        users = torch.repeat_interleave(torch.arange(train.num_users), degrees)
        position = torch.arange(len(items)) - indptr[users]
        self.start = indptr.to(device)
        self.free = (train.num_items - degrees).to(device)
        # Ascending in (user, p_j - j) and in (user, p_j): both serve one global binary search.
        self.gaps = (users * train.num_items + items - position).to(device)
        self.keys = (users * train.num_items + items).to(device)
        counts = torch.from_numpy(train.item_degrees).double()
        self.cumulative = (counts.cumsum(0) / counts.sum()).to(device)
        if kind == "popularity":
            drawable = int((counts > 0).sum())
            if drawable <= int(degrees.max()):
                raise DataError(
                    f"The user with internal id {int(degrees.argmax())} has taken all {drawable} "
                    f"items that occur in training, so "
                    f"training.negatives = 'popularity' finds none. Use 'uniform'."
                )

    def sample(self, users: Tensor, num: int, rng: torch.Generator) -> Tensor:
        """Return ``[B, num]`` items for ``users`` ``[B]``; none is a training item of its user."""
        repeated = users.unsqueeze(1).expand(-1, num)
        draw = self._uniform if self.kind == "uniform" else self._popular
        return draw(repeated.contiguous(), rng)

    def _uniform(self, users: Tensor, rng: torch.Generator) -> Tensor:
        share = torch.rand(users.shape, generator=rng, device=users.device, dtype=torch.float64)
        rank = (share * self.free[users]).long()
        skipped = torch.searchsorted(self.gaps, users * self.num_items + rank, right=True)
        return rank + skipped - self.start[users]

    def _popular(self, users: Tensor, rng: torch.Generator) -> Tensor:
        items = self._draw(users.shape, rng)
        taken = self._taken(users, items)
        while bool(taken.any()):
            items[taken] = self._draw(items[taken].shape, rng)
            taken = self._taken(users, items)
        return items

    def _draw(self, shape: torch.Size, rng: torch.Generator) -> Tensor:
        device = self.cumulative.device
        share = torch.rand(shape, generator=rng, device=device, dtype=torch.float64)
        return torch.searchsorted(self.cumulative, share, right=True).clamp_(max=self.num_items - 1)

    def _taken(self, users: Tensor, items: Tensor) -> Tensor:
        wanted = users * self.num_items + items
        place = torch.searchsorted(self.keys, wanted).clamp_(max=len(self.keys) - 1)
        return self.keys[place] == wanted


def shuffled_batches(
    train: Interactions, batch_size: int, rng: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``users [B], pos [B]`` of every training pair once, in random order."""
    order = torch.randperm(len(train), generator=rng)
    users = torch.from_numpy(train.users).long()[order].to(device)
    items = torch.from_numpy(train.items).long()[order].to(device)
    yield from zip(users.split(batch_size), items.split(batch_size), strict=True)
