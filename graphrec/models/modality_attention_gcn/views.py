"""Views of an item, one per modality and one of its free embedding, and scores made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.core.precision import single
from graphrec.nn.alignment.balance import Ranking, separate_losses
from graphrec.nn.masking import equal_shares, masked_softmax

RANK_OFFSET = 60
"""Of reciprocal rank fusion; the value of the paper."""


class Views(NamedTuple):
    """Vectors of V views, after messages have passed within each.

    Shapes:
        users: ``[U, V, D]``; items: ``[I, V, D]``; shown: ``[I, V]`` bool, the items that have it.
    """

    users: Tensor
    items: Tensor
    shown: Tensor


class LateFusion(nn.Module):
    """s(u, i) = sum of w_uiv s_v(u, i) over the views v that item i has, s_v = x_u^v . x_i^v.

    With n_i views shown, of V:

        mean      w_uiv = 1 / n_i
        weighted  w_uiv = a_v / sum of a over the shown, a given; an item whose a are all 0 scores 0
        learned   w_uiv = softmax over the shown of b_v, b learned from 0
        user      w_uiv = alpha_uv V / n_i, alpha_u = softmax(W [h_u^1; ...; h_u^V]), W learned
                  from 0, h_u the user's free vectors: each user weighs the modalities
        vote      s(u, i) = mean over the shown of 1 / (60 + r_v(u, i)), r_v the rank of i among all
                  items by s_v, from 1; equal scores by ascending id

    Where a user weighs, equal weights are the mean again. All but ``vote`` are inner products of
    ``[U, V D]`` and ``[I, V D]``, so that no pair costs more than it does with one view as wide.

    Source: vote cormack2009rrf; the weights of a user are graphrec's.
    Deviations: votes are averaged over the views that an item has, where the paper sums them over
    rankings that hold every document.
    """

    def __init__(
        self, kind: str, names: Sequence[str], shares: Mapping[str, float] | None, width: int
    ) -> None:
        super().__init__()
        self.kind, self.names = kind, tuple(names)
        if kind == "weighted":
            self.register_buffer("given", self._given(shares or {}), persistent=False)
        elif kind == "learned":
            self.logits = nn.Parameter(torch.zeros(len(names)))
        elif kind == "user":
            self.weights = nn.Parameter(torch.zeros(width, len(names)))

    def _given(self, shares: Mapping[str, float]) -> Tensor:
        for name in sorted(shares.keys() ^ set(self.names)):
            problem = f"model.view_weights has no share for {name!r}."
            if name not in self.names:
                problem = f"model.view_weights has an unknown {name!r}.{nearest(name, self.names)}"
            raise ConfigError(f"{problem} Give one to each of: {', '.join(self.names)}.")
        return torch.tensor([shares[name] for name in self.names])

    def item_weights(self, shown: Tensor, dtype: torch.dtype) -> Tensor:
        """What item i gives to its views, ``[I, V]``; zero where it lacks one."""
        if self.kind == "learned":
            return masked_softmax(self.logits.expand(len(shown), -1), shown)
        if self.kind == "weighted":
            own = self.get_buffer("given").to(dtype) * shown
            return own / own.sum(dim=1, keepdim=True).clamp(min=torch.finfo(dtype).tiny)
        shares = equal_shares(shown, dtype)
        return shares * len(self.names) if self.kind == "user" else shares

    def user_weights(self, free: Tensor) -> Tensor:
        """alpha, ``[U, V]``, from the free vectors ``[U, V D]``; only where users weigh."""
        return torch.softmax(free @ self.weights, dim=1)

    def forward(self, views: Views, free: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors whose inner product is the score: users ``[U, V D]``, items ``[I, V D]``."""
        users = views.users
        if self.kind == "user":
            users = users * self.user_weights(free).unsqueeze(2)
        weights = self.item_weights(views.shown, views.items.dtype)
        return users.flatten(1), (views.items * weights.unsqueeze(2)).flatten(1)

    def votes(self, views: Views) -> Callable[[Tensor], Tensor]:
        """The scores of ``vote``: users ``[B]`` to ``[B, I]``."""
        weights = equal_shares(views.shown, views.items.dtype)

        def score(batch: Tensor) -> Tensor:
            total = views.items.new_zeros(len(batch), len(views.items))
            for v in range(len(self.names)):
                scores = views.users[batch, v] @ views.items[:, v].T
                scores = scores.masked_fill(~views.shown[:, v], -torch.inf)
                order = scores.argsort(dim=1, descending=True, stable=True)
                places = torch.arange(1, order.shape[1] + 1, device=order.device)
                ranks = torch.empty_like(order).scatter_(1, order, places.expand_as(order))
                total += weights[:, v] / (RANK_OFFSET + ranks)
            return total

        return score


def view_losses(
    views: Views, users: Tensor, items: Tensor, ranking: Ranking
) -> tuple[Tensor, Tensor]:
    """Ranking loss of each view by its scores alone, and the pairs it was taken over, ``[V]``.

    Shapes:
        users: ``[B]``; items: ``[B, 1 + k]``, a positive and k negatives.
    """
    shape = (*items.shape, *views.items.shape[1:])
    # Rows as wide as all views: one gather, whose gradient is several times faster than indexing's.
    chosen = views.items.flatten(1).index_select(0, items.flatten()).view(shape)
    own = views.users.flatten(1).index_select(0, users).view(-1, *shape[2:])
    scores = single(torch.einsum("bvd,bkvd->vbk", own, chosen))
    return separate_losses(scores, views.shown[items].permute(2, 0, 1), ranking)
