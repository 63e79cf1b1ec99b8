"""Why an item was recommended: its modalities, and the user's items that speak for it.

With s(u, i) the score, of the flagship:

    attention_m     weight of modality m in item i, over the weights of all that i has; with
                    ``late = "user"`` the weight that user u gives it
    change_m        s(u, i) - s(u, i) of the same model, had no item modality m: exact
    contribution_j  a_uj (c_u h_j) . y_i  for each item j of u in train: exact

where ``s(u, i) = (c_u x_u) . y_i`` with x_u the user after messages, c_u what ``normalize`` and
weights of views make of it, and h_j where item j starts. On backbone lightgcn x_u is linear in
the h_j: ``x_u = sum_v a_uv h_v`` over all nodes v, ``a = 1 / (L + 1) sum_l A^l``. So contributions
and those of all other nodes add up to the score; c_u and y_i are held fixed. On ngcf and gat, and
with ``where = "middle"``, x_u is not linear, and ``(d x_u / d h_j) h_j`` stands in its place: what
a small change of h_j would do, which adds up to nothing. No messages, or votes: no contributions.

Where the scores of EASE are added (``ClosedForm``), with p_u the learned scores of user u,

    contribution_j  a_uj (c_u h_j) . y_i / deviation of p_u + w B_ji / deviation of x_u B

and the means over all items, which z-scores subtract, belong to no item.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from graphrec.core.precision import single
from graphrec.core.progress import step
from graphrec.data import Interactions
from graphrec.data.interactions import FloatArray, IntArray
from graphrec.evaluation import Ranking
from graphrec.models.explanation import NUM_NEIGHBOURS, Attribution
from graphrec.models.modality_attention_gcn.closed_form import FusedScores, Standard
from graphrec.models.modality_attention_gcn.content import ItemContent
from graphrec.models.modality_attention_gcn.views import LateFusion

BLOCK_USERS = 256
"""Users whose vectors of recommended items are in memory at once."""

BLOCK_NUMBERS = 2**22
"""Numbers that walks and vectors of a block of users may take in memory at once."""

USUAL_WIDTH = 64
"""Of the vectors of a user's items."""

Walks = npt.NDArray[np.float64]

Contributions = Callable[[IntArray, IntArray], tuple[IntArray, FloatArray]]
"""Users ``[B]``, items ``[B, K]`` -> the users' items in train, ``[B, n]``, -1 where there are no
more, and their parts ``[B, K, n]``."""


class ExplainedModel(FusedScores):
    """The part of the flagship that explains; the model itself says how vectors are made."""

    names: tuple[str, ...]
    modalities: tuple[str, ...]
    users: nn.Parameter
    content: ItemContent
    late: LateFusion | None

    @abstractmethod
    def attention(self) -> Tensor:
        """Return the weight of each modality for each item, ``[I, M]``."""

    @abstractmethod
    def item_starts(self) -> tuple[Tensor, Tensor]:
        """Return where items start in each view, ``[I, V, D]``, and which views they have."""

    @abstractmethod
    def propagate_to_users(self, starts: Tensor) -> Tensor:
        """Propagate the start vectors of items to the users, ``[U, V, D]``."""

    @abstractmethod
    def without(self, *names: str) -> AbstractContextManager[None]:
        """Score as if no item had these modalities."""

    def explain(self, train: Interactions, ranking: Ranking, *, few: bool = False) -> Attribution:
        """Explain recommendations; the model is in evaluation mode.

        Args:
            few: compute contributions that need a gradient for each pair, too.
        """
        with torch.no_grad():
            attention = dict(zip(self.names, _attention(self, ranking), strict=True))
            change = _changes(self, ranking)
            if passes_linearly(self):
                found = linear_contributions(self, train)
            elif few and self.config.backbone != "none" and self.learns_by_products:
                found = gradient_contributions(self, train)
            else:
                return Attribution(attention, change, None, None)
            neighbours, parts = _largest(with_closed_form(self, found), train, ranking)
        return Attribution(attention, change, neighbours, parts)


def passes_linearly(model: ExplainedModel) -> bool:
    """Return whether users are linear in what items start at, and learned scores in users."""
    config = model.config
    return config.backbone == "lightgcn" and config.where != "middle" and model.learns_by_products


def _pairs(model: ExplainedModel, ranking: Ranking) -> tuple[Tensor, Tensor]:
    device = model.users.device
    users = torch.from_numpy(ranking.users).long().to(device)
    return users, torch.from_numpy(ranking.items).long().clamp(min=0).to(device)


def _attention(model: ExplainedModel, ranking: Ranking) -> list[FloatArray]:
    if not model.names:
        return []
    users, items = _pairs(model, ranking)
    weights = model.content.known().to(model.users.dtype)[items]  # [n, K, M]
    if model.late is not None and model.late.kind == "user":
        given = model.late.user_weights(model.users)[:, : len(model.names)]
        weights = weights * given[users].unsqueeze(1)
    else:
        weights = weights * model.attention()[items]
    total = weights.sum(dim=2, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return [_array(each) for each in (weights / total).unbind(2)]


def _changes(model: ExplainedModel, ranking: Ranking) -> dict[str, FloatArray]:
    whole = _scores(model, ranking)
    changes = {}
    for name in model.modalities:
        with model.without(name):
            changes[name] = _array(whole - _scores(model, ranking))
    return changes


def _scores(model: ExplainedModel, ranking: Ranking) -> Tensor:
    """Return the scores of these pairs, ``[n, K]``; those of all others only where they count."""
    users, items = _pairs(model, ranking)
    if not model.ranks_by_products:
        scores = model.scorer()
        blocks = zip(users.split(BLOCK_USERS), items.split(BLOCK_USERS), strict=True)
        return torch.cat([scores(_padded(who))[: len(who)].gather(1, what) for who, what in blocks])
    vectors, targets = model.vectors()
    blocks = zip(users.split(BLOCK_USERS), items.split(BLOCK_USERS), strict=True)
    return torch.cat(
        [torch.einsum("bd,bkd->bk", vectors[who], targets[what]) for who, what in blocks]
    )


def _padded(users: Tensor) -> Tensor:
    """Repeat the last of some users, so that scores of every block are rounded alike."""
    missing = BLOCK_USERS - len(users) if len(users) else 0
    return torch.cat([users, users[-1:].expand(max(missing, 0))])


def linear_contributions(model: ExplainedModel, train: Interactions) -> Contributions:
    """Exact contributions, where ``passes_linearly``."""
    starts, _ = model.item_starts()
    factors, targets = _factors(model, model.propagate_to_users(starts))
    weights = reach(train, model.config.num_layers)
    h, c, y = _array(starts.flatten(1)), _array(factors), _array(targets)
    width = starts.shape[2]

    def of_block(users: IntArray, items: IntArray) -> tuple[IntArray, FloatArray]:
        own = items_of(train, users)
        goals = y[items] * np.repeat(c[users], width, axis=1)[:, None]
        parts = goals @ h[own].transpose(0, 2, 1)
        return own, (parts * weights(users, own)[:, None]).astype(h.dtype)

    return of_block


def with_closed_form(model: ExplainedModel, contributions: Contributions) -> Contributions:
    """Return contributions to the fused scores, made of those to the learned scores and of EASE."""
    closed = model.closed
    if closed is None:
        return contributions
    learned = model.learned_scorer()

    def of_block(users: IntArray, items: IntArray) -> tuple[IntArray, FloatArray]:
        own, parts = contributions(users, items)
        who = _padded(torch.from_numpy(users).long().to(model.users.device))
        scales = Standard.of(single(learned(who))).inverse, closed.scale(who)
        by_learned, by_ease = (_array(each)[: len(users), :, None] for each in scales)
        return own, parts * by_learned + closed.solver.weights_of(own, items) * by_ease

    return of_block


def reach(train: Interactions, num_layers: int) -> Callable[[IntArray, IntArray], Walks]:
    """Return a function: users ``[B]`` and their items in train ``[B, n]`` -> a_uj, ``[B, n]``.

    a = 1 / (L + 1) (A + A^3 + A^5 + ...) up to L: from a user to an item all walks are odd.
    Where an item is -1, a is 0.
    """
    scale = [np.maximum(each, 1) ** -0.5 for each in (train.user_degrees, train.item_degrees)]
    users_by = sp.csr_array(sp.diags_array(scale[0]) @ train.matrix @ sp.diags_array(scale[1]))
    items_by = users_by.T.tocsr()

    def of_block(users: IntArray, own: IntArray) -> Walks:
        total, direct = np.zeros(own.shape), users_by[users]
        if num_layers:
            total[own >= 0] = direct.data
        if num_layers > 2:
            passed = (direct @ items_by).toarray()  # to users, by two steps
            total += _received(items_by, own, passed)
        for _ in range(5, num_layers + 1, 2):
            passed = (users_by @ (items_by @ passed.T)).T
            total += _received(items_by, own, passed)
        return total / (num_layers + 1)

    return of_block


def _received(items_by: sp.csr_array, own: IntArray, passed: Walks) -> Walks:
    """Return what items ``[B, n]`` receive from their users, who hold ``passed`` ``[B, U]``."""
    counts = np.where(own >= 0, np.diff(items_by.indptr)[own], 0).ravel()
    pairs = np.repeat(np.arange(own.size), counts)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    edges = items_by.indptr[own].ravel()[pairs] + within
    heard = passed[pairs // own.shape[1], items_by.indices[edges]] * items_by.data[edges]
    total = np.bincount(pairs, heard, own.size)
    return total.astype(np.float64).reshape(own.shape)


def gradient_contributions(model: ExplainedModel, train: Interactions) -> Contributions:
    """Gradient times input on any backbone, one backward pass for each pair."""
    with torch.enable_grad():
        starts = model.item_starts()[0].detach().requires_grad_()
        heard = model.propagate_to_users(starts)
    factors, targets = _factors(model, heard.detach())

    def of_pair(user: int, item: int, own: Tensor) -> Tensor:
        goal = targets[item].view(heard.shape[1:]) * factors[user].unsqueeze(1)
        with torch.enable_grad():
            score = (heard[user] * goal).sum()
        (slope,) = torch.autograd.grad(score, starts, retain_graph=True)
        return (slope[own] * starts[own]).sum(dim=(1, 2))

    def of_block(users: IntArray, items: IntArray) -> tuple[IntArray, FloatArray]:
        own = items_of(train, users)
        parts = np.zeros((*items.shape, own.shape[1]), np.float32)
        for row, place in np.ndindex(items.shape):
            mine = torch.from_numpy(own[row][own[row] >= 0]).long().to(starts.device)
            found = of_pair(int(users[row]), int(items[row, place]), mine)
            parts[row, place, : len(mine)] = _array(found)
        return own, parts

    return of_block


def _factors(model: ExplainedModel, heard: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors c ``[U, V]`` between the scoring vectors of users and x_u, and all y_i."""
    users, items = model.vectors()
    ratio = (users.view_as(heard) * heard).sum(dim=2)
    return ratio / heard.square().sum(dim=2).clamp(min=torch.finfo(heard.dtype).tiny), items


def _largest(
    contributions: Contributions, train: Interactions, ranking: Ranking
) -> tuple[IntArray, FloatArray]:
    """Return the ``NUM_NEIGHBOURS`` largest positive parts of each pair, and their items."""
    shape = (*ranking.items.shape, NUM_NEIGHBOURS)
    neighbours, parts = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    with step("Explaining", len(ranking.users)) as bar:
        for block in blocks_of(train, ranking.users):
            own, found = contributions(ranking.users[block], ranking.items[block].clip(min=0))
            count = min(NUM_NEIGHBOURS, own.shape[1])
            best, order = (x.numpy() for x in torch.from_numpy(found).topk(count, dim=2))
            named = np.take_along_axis(own[:, None], order, axis=2)
            neighbours[block, :, :count] = np.where(best > 0, named, -1)
            parts[block, :, :count] = best.clip(min=0)
            bar.advance(len(block))
    return neighbours, parts


def blocks_of(train: Interactions, users: IntArray) -> Iterator[npt.NDArray[np.intp]]:
    """Rows of ``users`` in blocks that fit in memory, users with few items first.

    Users of a block have about as many items, since all are as wide as the one who has most.
    """
    heard = train.matrix @ train.item_degrees  # users with whom each shares an item, with repeats
    order = np.argsort(train.user_degrees[users], kind="stable")
    numbers = heard + USUAL_WIDTH * train.user_degrees + train.num_users + train.num_items
    filled = np.cumsum(numbers[users[order]]) // BLOCK_NUMBERS
    for block in np.split(order, np.flatnonzero(np.diff(filled)) + 1):
        yield from (block[at : at + BLOCK_USERS] for at in range(0, len(block), BLOCK_USERS))


def items_of(train: Interactions, users: IntArray) -> IntArray:
    """Return the items of each user in train, ``[B, n]``; -1 where a user has no more."""
    rows = train.matrix[users]
    counts = np.diff(rows.indptr)
    own = np.full((len(users), counts.max(initial=0)), -1, np.int32)
    own[np.arange(own.shape[1]) < counts[:, None]] = rows.indices
    return own


def _array(values: Tensor) -> FloatArray:
    found: FloatArray = values.detach().float().cpu().numpy()
    return found
