"""Ranking metrics, each a small function of the ranked lists and a cut-off k.

Notation: T_u are the relevant items of user u, rel_u(r) is 1 if the item at rank r = 1, 2, ... is
relevant, h_u(k) = sum_{r <= k} rel_u(r). Lists may be shorter than k where candidates run out.
Everything is cumulative over ranks, so that all cut-offs come from one pass over the hits.
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
    """Ranked lists of n users, each with at least one relevant item, and what judges them.

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
        """1 to K."""
        return np.arange(1.0, self.items.shape[1] + 1)

    @cached_property
    def num_hits(self) -> Counts:
        """h_u(r) for every rank, ``[n, K]``."""
        return np.cumsum(self.hits, axis=1, dtype=np.int64)

    @cached_property
    def num_filled(self) -> Counts:
        """Recommended items down to every rank, ``[n, K]``."""
        return np.cumsum(self.items >= 0, axis=1, dtype=np.int64)

    @cached_property
    def dcg(self) -> Values:
        """sum_{s <= r} rel(s) / log2(s + 1) for every rank, ``[n, K]``."""
        return np.cumsum(self.hits / np.log2(self.ranks + 1), axis=1)

    @cached_property
    def precision_at_hits(self) -> Values:
        """sum_{s <= r} rel(s) h(s) / s for every rank, ``[n, K]``."""
        return np.cumsum(self.hits * self.num_hits / self.ranks, axis=1)

    def mean_of(self, item_values: Counts | Values, k: int) -> Values:
        """Mean of a value of the items over each list; 0 for a list with nothing in it."""
        items = self.items[:, :k]
        total: Values = np.where(items >= 0, item_values[items], 0).sum(axis=1, dtype=np.float64)
        return total / np.maximum(self.num_filled[:, k - 1], 1)

    def recommended(self, k: int) -> Counts:
        """How many lists each item is in, ``[I]``."""
        items = self.items[:, :k]
        return np.bincount(items[items >= 0], minlength=len(self.item_counts))


def recall(lists: Lists, k: int) -> Values:
    """h(k) / |T|, or h(k) / min(|T|, k) where the protocol says so."""
    capped = lists.protocol.recall_denominator == "min_relevant_k"
    denominator = np.minimum(lists.num_relevant, k) if capped else lists.num_relevant
    return lists.num_hits[:, k - 1] / denominator


def precision(lists: Lists, k: int) -> Values:
    """h(k) / k, also for lists shorter than k."""
    return lists.num_hits[:, k - 1] / k


def f1(lists: Lists, k: int) -> Values:
    """2 P R / (P + R) of each user's precision and recall; 0 without a hit."""
    product, total = precision(lists, k) * recall(lists, k), precision(lists, k) + recall(lists, k)
    return _ratio(2 * product, total)


def ndcg(lists: Lists, k: int) -> Values:
    """sum_{r <= k} rel(r) / log2(r + 1), divided by the same sum of an ideal list.

    The ideal list starts with min(|T|, k) hits; under ``ndcg_ideal = "retrieved"`` with h(k).
    """
    retrieved = lists.protocol.ndcg_ideal == "retrieved"
    num_ideal = lists.num_hits[:, k - 1] if retrieved else np.minimum(lists.num_relevant, k)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(lists.ranks + 1))])
    return _ratio(lists.dcg[:, k - 1], ideal[num_ideal])


def average_precision(lists: Lists, k: int) -> Values:
    """sum_{r <= k} rel(r) h(r) / r, divided by min(|T|, k)."""
    return lists.precision_at_hits[:, k - 1] / np.minimum(lists.num_relevant, k)


def reciprocal_rank(lists: Lists, k: int) -> Values:
    """1 / r of the first hit at r <= k, or 0."""
    first = lists.hits[:, :k].argmax(axis=1)
    return np.where(lists.num_hits[:, k - 1] > 0, 1 / lists.ranks[first], 0.0)


def hit(lists: Lists, k: int) -> Values:
    """1 if h(k) > 0, else 0."""
    return (lists.num_hits[:, k - 1] > 0).astype(np.float64)


def accuracy(lists: Lists, k: int) -> Values:
    """h(k) / recommended items; averaged over slots: sum of hits / sum of recommended items.

    Where every user's list has k items it equals precision@k. Where candidates are few, lists are
    shorter, and precision still divides by k.
    """
    return lists.num_hits[:, k - 1] / np.maximum(lists.num_filled[:, k - 1], 1)


def auc(lists: Lists, _k: int) -> Values:
    """Share of (relevant, irrelevant) pairs of candidates ordered right; an equal pair is half.

    Computed from the scores, where they are at hand: see ``ranking.auc_of``.
    """
    assert lists.auc is not None
    return lists.auc


def novelty(lists: Lists, k: int) -> Values:
    """Mean over the list of -log2(c_i / E): c_i of the E train interactions are with item i.

    An item without train interactions counts as one with a single interaction.
    """
    total = max(int(lists.item_counts.sum()), 1)
    return lists.mean_of(-np.log2(np.maximum(lists.item_counts, 1) / total), k)


def popularity(lists: Lists, k: int) -> Values:
    """Mean over the list of the number of train interactions of the item."""
    return lists.mean_of(lists.item_counts, k)


def coverage(lists: Lists, k: int) -> Values:
    """Share of the catalogue that is in at least one list."""
    return np.array([np.mean(lists.recommended(k) > 0)])


def gini(lists: Lists, k: int) -> Values:
    """sum_i (2 i - I - 1) c_(i) / (I sum_i c_(i)), c_(i) ascending: how many lists hold an item.

    0 if all items are recommended equally often, (I - 1) / I if it is always the same one.
    """
    counts = np.sort(lists.recommended(k))
    num_items = len(counts)
    weights = 2 * np.arange(1, num_items + 1) - num_items - 1
    return np.array([weights @ counts / max(num_items * int(counts.sum()), 1)])


@dataclass(frozen=True)
class Metric:
    """One entry of METRICS: its function, what it is a mean over, and how to read it."""

    compute: Callable[[Lists, int], Values]
    """Values ``[n]`` of the users, or ``[1]`` for a metric of all lists together."""
    per: Literal["user", "slot", "lists"] = "user"
    """Mean over users; mean over recommended slots; or one number of all lists together."""
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
    """Return every wanted metric as one number, and per user ``[n]`` where it has such values."""
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
    """Quotient that is 0 where the denominator is 0."""
    zeros = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)
