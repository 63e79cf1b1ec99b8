"""Define the ranking metrics, each a small function of the ranked lists and a cut-off k.

Notation: T_u are the relevant items of user u, rel_u(r) is 1 if the item at rank r = 1, 2, ... is
relevant, h_u(k) = sum_{r <= k} rel_u(r). Lists may be shorter than k where candidates run out.
All sums are cumulative over ranks, so that one pass over the hits serves all cut-offs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.data.interactions import IntArray

if TYPE_CHECKING:
    from graphrec.evaluation.conventions import Protocol

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lists:
    """Ranked lists of n users, each with at least one relevant item, and the facts to judge them.

    Shapes:
        items: ``[n, K]`` int32, -1 where a list has ended. hits: ``[n, K]`` bool.
        num_relevant: ``[n]`` |T_u|. item_counts: ``[I]`` train interactions of each item.
        auc: ``[n]``, or None where no scores were kept.
    """

    items: IntArray
    hits: npt.NDArray[np.bool_]
    num_relevant: Counts
    item_counts: Counts
    protocol: "Protocol"
    auc: Values | None = None

    @cached_property
    def ranks(self) -> Values:
        """Return the ranks 1 to K."""
        return np.arange(1.0, self.items.shape[1] + 1)

    @cached_property
    def num_hits(self) -> Counts:
        """Return h_u(r), the hits down to every rank, ``[n, K]``."""
        return np.cumsum(self.hits, axis=1, dtype=np.int64)

    @cached_property
    def num_filled(self) -> Counts:
        """Return the number of recommended items down to every rank, ``[n, K]``."""
        return np.cumsum(self.items >= 0, axis=1, dtype=np.int64)

    @cached_property
    def dcg(self) -> Values:
        """Return sum_{s <= r} rel(s) / log2(s + 1) for every rank r, ``[n, K]``."""
        return np.cumsum(self.hits / np.log2(self.ranks + 1), axis=1)

    @cached_property
    def precision_at_hits(self) -> Values:
        """Return sum_{s <= r} rel(s) h(s) / s for every rank r, ``[n, K]``."""
        return np.cumsum(self.hits * self.num_hits / self.ranks, axis=1)

    def mean_of(self, item_values: Counts | Values, k: int) -> Values:
        """Return the mean of a value of the items over each list; 0 for an empty list."""
        items = self.items[:, :k]
        total: Values = np.where(items >= 0, item_values[items], 0).sum(axis=1, dtype=np.float64)
        return total / np.maximum(self.num_filled[:, k - 1], 1)

    def recommended(self, k: int) -> Counts:
        """Return the number of lists that hold each item, ``[I]``."""
        items = self.items[:, :k]
        return np.bincount(items[items >= 0], minlength=len(self.item_counts))


def recall(lists: Lists, k: int) -> Values:
    """Divide the hits by the relevant items: h(k) / |T|, or h(k) / min(|T|, k) by the protocol."""
    capped = lists.protocol.recall_denominator == "min_relevant_k"
    denominator = np.minimum(lists.num_relevant, k) if capped else lists.num_relevant
    return lists.num_hits[:, k - 1] / denominator


def precision(lists: Lists, k: int) -> Values:
    """Divide the hits by the cut-off: h(k) / k, even for lists shorter than k."""
    return lists.num_hits[:, k - 1] / k


def f1(lists: Lists, k: int) -> Values:
    """Combine precision P and recall R of each user: 2 P R / (P + R), or 0 without a hit."""
    product, total = precision(lists, k) * recall(lists, k), precision(lists, k) + recall(lists, k)
    return _ratio(2 * product, total)


def ndcg(lists: Lists, k: int) -> Values:
    """Discount the hits by rank, sum_{r <= k} rel(r) / log2(r + 1), relative to an ideal list.

    The ideal list starts with min(|T|, k) hits; under ``ndcg_ideal = "retrieved"`` with h(k).
    """
    retrieved = lists.protocol.ndcg_ideal == "retrieved"
    num_ideal = lists.num_hits[:, k - 1] if retrieved else np.minimum(lists.num_relevant, k)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(lists.ranks + 1))])
    return _ratio(lists.dcg[:, k - 1], ideal[num_ideal])


def average_precision(lists: Lists, k: int) -> Values:
    """Average the precision at the hits: sum_{r <= k} rel(r) h(r) / r, divided by min(|T|, k)."""
    return lists.precision_at_hits[:, k - 1] / np.minimum(lists.num_relevant, k)


def reciprocal_rank(lists: Lists, k: int) -> Values:
    """Invert the rank of the first hit: 1 / r for r <= k, or 0 without a hit."""
    first = lists.hits[:, :k].argmax(axis=1)
    return np.where(lists.num_hits[:, k - 1] > 0, 1 / lists.ranks[first], 0.0)


def hit(lists: Lists, k: int) -> Values:
    """Return 1 for a list with a hit, h(k) > 0, else 0."""
    return (lists.num_hits[:, k - 1] > 0).astype(np.float64)


def accuracy(lists: Lists, k: int) -> Values:
    """Divide the hits by the recommended items; the average is all hits / all recommended items.

    Where every user's list has k items it equals precision@k. Where candidates are few, lists are
    shorter, and precision still divides by k.
    """
    return lists.num_hits[:, k - 1] / np.maximum(lists.num_filled[:, k - 1], 1)


def auc(lists: Lists, _k: int) -> Values:
    """Return the share of (relevant, irrelevant) candidate pairs in right order; ties count half.

    It is computed from the scores, while they are in memory: see ``ranking.auc_of``.
    """
    assert lists.auc is not None
    return lists.auc


def novelty(lists: Lists, k: int) -> Values:
    """Average -log2(c_i / E) over the list: c_i of the E train interactions are with item i.

    An item without train interactions counts as if it had one.
    """
    total = max(int(lists.item_counts.sum()), 1)
    return lists.mean_of(-np.log2(np.maximum(lists.item_counts, 1) / total), k)


def popularity(lists: Lists, k: int) -> Values:
    """Average the number of train interactions of the items over the list."""
    return lists.mean_of(lists.item_counts, k)


def coverage(lists: Lists, k: int) -> Values:
    """Return the share of the catalogue that is in at least one list."""
    return np.array([np.mean(lists.recommended(k) > 0)])


def gini(lists: Lists, k: int) -> Values:
    """Return sum_i (2 i - I - 1) c_(i) / (I sum_i c_(i)), with c_(i) the lists per item, ascending.

    It is 0 if all items are recommended equally often, and (I - 1) / I if one item has all lists.
    """
    counts = np.sort(lists.recommended(k))
    num_items = len(counts)
    weights = 2 * np.arange(1, num_items + 1) - num_items - 1
    return np.array([weights @ counts / max(num_items * int(counts.sum()), 1)])


@dataclass(frozen=True)
class Metric:
    """Entry of METRICS: its function, the set it is a mean over, and how to read it."""

    compute: Callable[[Lists, int], Values]
    """Values ``[n]`` of the users, or ``[1]`` for a metric of all lists together."""
    per: Literal["user", "slot", "lists"] = "user"
    """Set of the mean: users, recommended slots, or all lists together as one number."""
    higher_is_better: bool = True
    takes_k: bool = True


METRICS: dict[str, Metric] = {
    "recall": Metric(recall),
    "precision": Metric(precision),
    "f1": Metric(f1),
    "ndcg": Metric(ndcg),
    "map": Metric(average_precision),
    "mrr": Metric(reciprocal_rank),
    "hit": Metric(hit),
    "accuracy": Metric(accuracy, per="slot"),
    "auc": Metric(auc, takes_k=False),
    "coverage": Metric(coverage, per="lists"),
    "novelty": Metric(novelty),
    "gini": Metric(gini, per="lists", higher_is_better=False),
    "popularity": Metric(popularity, higher_is_better=False),
}


def parse_metric(text: str) -> tuple[str, int | None]:
    """Split ``"recall@20"`` into name and cut-off; the cut-off of a bare name is None.

    Raises:
        ConfigError: unknown name, a cut-off that is not a positive integer, or one given to auc.
    """
    name, at, cutoff = text.partition("@")
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise ConfigError(f"Unknown metric {text!r}.{nearest(name, METRICS)} Known: {known}.")
    if not at:
        return name, None
    if not METRICS[name].takes_k:
        raise ConfigError(f"Metric {text!r}: {name} has no cut-off. Write {name!r}.")
    if not (cutoff.isascii() and cutoff.isdigit() and int(cutoff) > 0):
        raise ConfigError(
            f"Metric {text!r}: the cut-off must be a positive integer, as in '{name}@20'."
        )
    return name, int(cutoff)


def expand(metrics: Sequence[str], top_k: Sequence[int]) -> dict[str, tuple[Metric, int]]:
    """Return ``{"recall@20": (metric, 20), ...}``; a bare name stands for every cut-off."""
    wanted: dict[str, tuple[Metric, int]] = {}
    for text in metrics:
        name, k = parse_metric(text)
        if not METRICS[name].takes_k:
            wanted[name] = (METRICS[name], 1)
            continue
        for cutoff in top_k if k is None else (k,):
            wanted[f"{name}@{cutoff}"] = (METRICS[name], cutoff)
    return wanted


def measure(
    lists: Lists, wanted: dict[str, tuple[Metric, int]]
) -> tuple[dict[str, float], dict[str, Values]]:
    """Return every wanted metric as one number, and as values ``[n]`` of users where they exist."""
    means: dict[str, float] = {}
    per_user: dict[str, Values] = {}
    for label, (metric, k) in wanted.items():
        values = metric.compute(lists, k)
        if metric.per != "lists":
            per_user[label] = values
        weights = lists.num_filled[:, k - 1] if metric.per == "slot" else np.ones(len(values))
        means[label] = float(values @ weights / max(float(weights.sum()), 1.0))
    return means, per_user


def _ratio(numerator: Values, denominator: Values) -> Values:
    """Divide two arrays, with 0 where the denominator is 0."""
    zeros = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)
