"""Rank the full catalogue for many users, and measure the lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.memory_limit import Need
from graphrec.data import Interactions
from graphrec.data.interactions import FloatArray, IntArray
from graphrec.evaluation.conventions import Protocol
from graphrec.evaluation.metrics import Lists, Values, expand, measure

Scorer = Callable[[torch.Tensor], torch.Tensor]
"""Users ``[B]`` int64 -> scores ``[B, I]`` float: a new tensor, which ``rank`` overwrites."""

MAX_ROWS, MIN_ROWS = 256, 32
"""Users in one block; more than 256 were not faster on CPU, and few-row products round apart."""

BYTES_PER_SCORE = 16
"""Peak bytes per score: the score itself and the work space for ties or AUC."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best K candidates of each user, best first.

    Shapes:
        users: ``[n]`` int32. items: ``[n, K]`` int32, -1 where candidates have run out.
        scores: ``[n, K]`` float32, -inf where candidates have run out.
    """

    users: IntArray
    items: IntArray
    scores: FloatArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of the users with relevant items, beside the lists of all ranked users.

    Attributes:
        metrics: ``{"recall@20": value}``.
        per_user: ``{"recall@20": [n]}`` in the order of ``users``; metrics of all lists together
            (coverage, gini) have no such values.
        users: the n measured users.
        ranking: the lists of all ranked users.
    """

    metrics: dict[str, float]
    per_user: dict[str, Values]
    users: IntArray
    ranking: Ranking

    @property
    def num_users(self) -> int:
        """Return the number of users in the averages."""
        return len(self.users)


def rank(
    scorer: Scorer,
    users: npt.NDArray[np.integer],
    masked: Sequence[Interactions],
    k: int,
    num_items: int,
    device: torch.device | str = "cpu",
    memory_bytes: int = 512 * 2**20,
    on_block: Callable[[slice, torch.Tensor], None] | None = None,
) -> Ranking:
    """Rank all unmasked items for ``users``: by descending score, equal scores by ascending id.

    An item scored -inf is never recommended. All blocks have the same number of rows, the last one
    padded, because BLAS rounds products of another shape differently; so results depend neither
    on the number of users nor on the position of a user. ``on_block`` receives the rows and the
    masked scores ``[B, I]`` of each block.

    Raises:
        ConfigError: ``k`` is larger than the catalogue.
        DataError: scores have the wrong shape or type, or hold NaN or +inf.
    """
    if not 1 <= k <= num_items:
        raise ConfigError(
            f"Cannot rank the best {k} items: the catalogue has {num_items}. Use a cut-off from 1 "
            f"to {num_items} (evaluation.top_k, evaluation.metrics, run.recommend_k)."
        )
    rows = _block_rows(num_items, memory_bytes)
    mask = _union(masked)
    items = np.empty((len(users), k), dtype=np.int32)
    values = np.empty((len(users), k), dtype=np.float32)
    for start in range(0, len(users), rows):
        block = slice(start, min(start + rows, len(users)))
        with torch.no_grad():
            scores = _score(scorer, users[block], rows, num_items, device)
            if mask is not None:
                _fill(scores, mask[users[block]])
            best_values, best_items = _top_k(scores, k)
        bad = ~(best_values[:, 0] < torch.inf)  # NaN is the largest value of topk
        if bad.any():
            user = users[block][int(bad.nonzero()[0])]
            raise DataError(
                f"The scores of user {user} hold NaN or +inf. Scores must be finite (or -inf for "
                f"items never to be recommended): the model has diverged or its features are bad."
            )
        items[block] = best_items.cpu().numpy()
        values[block] = best_values.float().cpu().numpy()
        if on_block is not None:
            on_block(block, scores)
    return Ranking(users=users.astype(np.int32), items=items, scores=values)


def auc_of(
    scores: torch.Tensor,
    users: npt.NDArray[np.integer],
    truth: Interactions,
    num_masked: npt.NDArray[np.int64],
) -> Values:
    """Return the AUC of each user; 0.5 where there is no (relevant, irrelevant) pair.

    Let d be the number of items with a higher score than a relevant item, minus the number with a
    lower score. The relevant item wins over (I - d) / 2 of the items, where ties count half. Masked
    items, scored -inf, are among the lower ones and are subtracted. So are pairs of two relevant
    items, whose wins add up to T^2 / 2 for any scores.

    Shapes:
        scores: ``[B, I]``, -inf where masked. users: ``[B]``. num_masked: ``[U]``.

    Raises:
        DataError: a relevant item is scored -inf.
    """
    relevant = truth.matrix[users]
    counts = np.diff(relevant.indptr).astype(np.int64)
    rows = np.repeat(np.arange(len(users)), counts)
    relevant_scores = scores[_index(rows, scores), _index(relevant.indices, scores)]
    unscored = (relevant_scores == -torch.inf).nonzero()
    if len(unscored):
        pair = int(unscored[0])
        raise DataError(
            f"Item {relevant.indices[pair]} of user {users[rows[pair]]} is relevant but scored "
            f"-inf (internal ids). auc needs a score of every candidate: leave auc out."
        )
    surplus = np.empty(len(rows))
    for start in range(0, len(rows), len(users)):  # as many pairs as users: memory of one block
        chunk = slice(start, start + len(users))
        distance = scores[_index(rows[chunk], scores)].sub_(relevant_scores[chunk, None])
        # Sums of -1, 0 and 1 are exact in float32 up to 2^24 items.
        surplus[chunk] = distance.sign_().sum(dim=1, dtype=torch.float32).cpu().numpy()
    over = (truth.num_items - surplus) / 2 - num_masked[users][rows]
    wins = np.bincount(rows, over, minlength=len(users)) - counts**2 / 2
    candidates = truth.num_items - num_masked[users]
    pairs = counts * (candidates - counts)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), 0.5)


def evaluate(
    scorer: Scorer,
    truth: Interactions,
    masked: Sequence[Interactions],
    train: Interactions,
    protocol: Protocol,
    metrics: Sequence[str],
    top_k: Sequence[int],
    device: torch.device | str = "cpu",
    memory_bytes: int = 512 * 2**20,
    users: npt.NDArray[np.integer] | None = None,
    min_length: int = 1,
) -> Evaluation:
    """Rank ``users`` (by default those with a relevant item) and measure those with one.

    ``metrics`` holds names with their own cut-off (``recall@50``) or without (every ``top_k``).
    Lists are as long as the largest cut-off, and at least ``min_length``.

    Raises:
        ConfigError: a metric is unknown, or a cut-off is larger than the catalogue.
        DataError: no user has a relevant item, a relevant item is masked, or scores are bad.
    """
    wanted = expand(metrics, top_k)
    _require_candidates(truth, masked)
    if users is None:
        users = np.flatnonzero(truth.user_degrees)
    length = max(min_length, *(k for _, k in wanted.values()))
    auc = np.empty(len(users)) if "auc" in wanted else None
    num_masked = np.zeros(truth.num_users, np.int64)
    if auc is not None and (mask := _union(masked)) is not None:
        num_masked += np.diff(mask.indptr)

    def add_auc(block: slice, scores: torch.Tensor) -> None:
        if auc is not None:
            auc[block] = auc_of(scores, users[block], truth, num_masked)

    ranking = rank(scorer, users, masked, length, truth.num_items, device, memory_bytes, add_auc)
    measured = truth.user_degrees[users] > 0
    if not measured.any():
        raise DataError(
            f"None of the {len(users)} ranked users has a relevant item, so there is nothing to "
            f"measure. Check that the part is not empty and holds the same users."
        )
    lists = _lists(ranking, truth, train, protocol, auc)
    means, per_user = measure(lists, wanted)
    return Evaluation(means, per_user, ranking.users[measured], ranking)


def warm_cold(
    evaluation: Evaluation, truth: Interactions, train: Interactions, protocol: Protocol
) -> dict[str, dict[str, float]]:
    """Return the metrics of ``by_warmth`` and the ``num_users`` of each group."""
    groups = by_warmth(evaluation, truth, train, protocol)
    return {name: {"num_users": group.num_users} | group.metrics for name, group in groups.items()}


def by_warmth(
    evaluation: Evaluation, truth: Interactions, train: Interactions, protocol: Protocol
) -> dict[str, Evaluation]:
    """Measure the same lists with all, only warm and only cold items as relevant ones.

    An item is warm if it has a train interaction. Each group averages over the users with such a
    relevant item, and has no metrics if there are no such users. ``auc`` is left out: it needs the
    scores of the whole catalogue.
    """
    wanted = expand([label for label in evaluation.metrics if label != "auc"], ())
    is_warm = train.item_degrees[truth.items] > 0
    groups = {"all": truth, "warm": truth.select(is_warm), "cold": truth.select(~is_warm)}
    ranking = evaluation.ranking
    result = {}
    for name, relevant in groups.items():
        users = ranking.users[relevant.user_degrees[ranking.users] > 0]
        lists = _lists(ranking, relevant, train, protocol)
        means, per_user = measure(lists, wanted) if len(users) else ({}, {})
        result[name] = Evaluation(means, per_user, users, ranking)
    return result


def _lists(
    ranking: Ranking,
    truth: Interactions,
    train: Interactions,
    protocol: Protocol,
    auc: Values | None = None,
) -> Lists:
    """Mark the hits in the lists of the users with relevant items."""
    measured = truth.user_degrees[ranking.users] > 0
    users, items = ranking.users[measured].astype(np.int64), ranking.items[measured]
    owners = np.repeat(np.arange(truth.num_users), truth.user_degrees)
    relevant = owners * truth.num_items + truth.matrix.indices  # ascending: rows, then columns
    wanted = users[:, None] * truth.num_items + items
    position = np.searchsorted(relevant, wanted).clip(max=max(len(relevant) - 1, 0))
    return Lists(
        items=items,
        hits=(items >= 0) & (relevant[position] == wanted),
        num_relevant=truth.user_degrees[users],
        item_counts=train.item_degrees,
        protocol=protocol,
        auc=None if auc is None else auc[measured],
    )


def _require_candidates(truth: Interactions, masked: Sequence[Interactions]) -> None:
    for part in masked:
        clash = truth.matrix.multiply(part.matrix).tocoo()
        if clash.nnz:
            raise DataError(
                f"Item {clash.col[0]} is relevant for user {clash.row[0]} but masked, so it can "
                f"never be recommended; {clash.nnz} pairs are (internal ids). Remove them from one "
                f"part of the split."
            )


def ranking_need(train: Interactions, k: int, memory_bytes: int) -> Need:
    """Estimate the memory of ``rank`` for all users: a block of scores, and the lists."""
    users, items = train.num_users, train.num_items
    rows = _block_rows(items, memory_bytes)
    return Need(
        f"Ranking {items:,} items for {users:,} users, {rows} at once,",
        BYTES_PER_SCORE * rows * items + 8 * users * k,
        f"Lower evaluation.memory_mb, or keep fewer items with data.clean; a block never has fewer "
        f"than {MIN_ROWS} users.",
    )


def _block_rows(num_items: int, memory_bytes: int) -> int:
    return min(MAX_ROWS, max(MIN_ROWS, memory_bytes // (BYTES_PER_SCORE * num_items)))


def _union(parts: Sequence[Interactions]) -> sp.csr_array | None:
    return sum((part.matrix for part in parts[1:]), parts[0].matrix) if parts else None


def _index(values: npt.NDArray[np.integer], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(like.device)


def _score(
    scorer: Scorer,
    users: npt.NDArray[np.integer],
    rows: int,
    num_items: int,
    device: torch.device | str,
) -> torch.Tensor:
    padded = np.pad(users.astype(np.int64), (0, rows - len(users)), mode="edge")
    scores = scorer(torch.from_numpy(padded).to(device))
    if scores.shape != (rows, num_items) or not scores.is_floating_point():
        raise DataError(
            f"The scorer returned {scores.dtype} {list(scores.shape)} for {rows} users and "
            f"{num_items} items. It must return floating point scores [{rows}, {num_items}]."
        )
    return scores.contiguous()[: len(users)]


def _fill(scores: torch.Tensor, mask: sp.csr_array) -> None:
    rows = np.repeat(np.arange(len(scores)), np.diff(mask.indptr))
    flat = _index(rows * scores.shape[1] + mask.indices, scores)
    scores.view(-1).index_fill_(0, flat, -torch.inf)


def _top_k(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values and items ``[B, k]`` in the exact order of the tie rule; item -1 for -inf."""
    values, items = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    if scores.shape[1] > k:
        # topk takes any of several equal scores: choose again where they extend beyond rank k.
        last = values[:, k - 1]
        tied = ((last == values[:, k]) & (last > -torch.inf)).nonzero().squeeze(1)
        values, items = values[:, :k], items[:, :k]
        if len(tied):
            items[tied] = _lowest_tied(scores[tied], values[tied], items[tied])
    items, order = items.sort(dim=1)
    values = values.gather(1, order) + 0.0  # some sorts would order -0.0 and 0.0
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values, items.gather(1, order).masked_fill(values == -torch.inf, -1)


def _lowest_tied(scores: torch.Tensor, values: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Keep the items above the k-th score; fill up with the lowest ids among those equal to it."""
    num_items, k = scores.shape[1], items.shape[1]
    last = values[:, -1:]
    above = values > last
    lower_id_first = torch.arange(num_items, 0, -1, dtype=torch.int32, device=scores.device)
    lowest = torch.where(scores == last, lower_id_first, 0).topk(k, dim=1).indices
    slots = torch.arange(k, device=scores.device) - above.sum(dim=1, keepdim=True)
    return torch.where(above, items, lowest.gather(1, slots.clamp(min=0)))
