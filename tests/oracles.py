"""Metrics written straight from their formulas with plain loops: slow, and only for the tests."""

from collections.abc import Sequence
from math import log2

List = Sequence[int]
"""The recommended items of one user, best first; shorter than k where candidates ran out."""


def hits(items: List, relevant: set[int], k: int) -> int:
    return sum(1 for item in items[:k] if item in relevant)


def recall(items: List, relevant: set[int], k: int, capped: bool = False) -> float:
    denominator = min(len(relevant), k) if capped else len(relevant)
    return hits(items, relevant, k) / denominator


def precision(items: List, relevant: set[int], k: int) -> float:
    return hits(items, relevant, k) / k


def f1(items: List, relevant: set[int], k: int) -> float:
    p, r = precision(items, relevant, k), recall(items, relevant, k)
    return 0.0 if p + r == 0 else 2 * p * r / (p + r)


def ndcg(items: List, relevant: set[int], k: int, retrieved: bool = False) -> float:
    dcg = sum(1 / log2(r + 1) for r, item in enumerate(items[:k], 1) if item in relevant)
    num_ideal = hits(items, relevant, k) if retrieved else min(len(relevant), k)
    ideal = sum(1 / log2(r + 1) for r in range(1, num_ideal + 1))
    return dcg / ideal if ideal else 0.0


def average_precision(items: List, relevant: set[int], k: int) -> float:
    total = 0.0
    for r, item in enumerate(items[:k], 1):
        if item in relevant:
            total += precision(items, relevant, r)
    return total / min(len(relevant), k)


def reciprocal_rank(items: List, relevant: set[int], k: int) -> float:
    for r, item in enumerate(items[:k], 1):
        if item in relevant:
            return 1 / r
    return 0.0


def hit(items: List, relevant: set[int], k: int) -> float:
    return float(any(item in relevant for item in items[:k]))


def accuracy(items: List, relevant: set[int], k: int) -> float:
    return hits(items, relevant, k) / len(items[:k]) if items[:k] else 0.0


def novelty(items: List, counts: Sequence[int], k: int) -> float:
    shares = [max(counts[item], 1) / max(sum(counts), 1) for item in items[:k]]
    return sum(-log2(share) for share in shares) / len(shares) if shares else 0.0


def popularity(items: List, counts: Sequence[int], k: int) -> float:
    return sum(counts[item] for item in items[:k]) / len(items[:k]) if items[:k] else 0.0


def coverage(lists: Sequence[List], num_items: int, k: int) -> float:
    return len({item for items in lists for item in items[:k]}) / num_items


def gini(lists: Sequence[List], num_items: int, k: int) -> float:
    """Half the relative mean difference: the definition over all pairs of items."""
    counts = [sum(item in items[:k] for items in lists) for item in range(num_items)]
    differences = sum(abs(a - b) for a in counts for b in counts)
    return differences / (2 * num_items * sum(counts)) if sum(counts) else 0.0


def auc(scores: Sequence[float], relevant: set[int], masked: set[int]) -> float:
    right, pairs = 0.0, 0
    candidates = [item for item in range(len(scores)) if item not in masked]
    for pos in relevant:
        for neg in candidates:
            if neg not in relevant:
                pairs += 1
                difference = scores[pos] - scores[neg]
                right += 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
    return right / pairs if pairs else 0.5


def ranked(scores: Sequence[float], masked: set[int], k: int) -> list[int]:
    """The best k unmasked items: by descending score, equal ones by ascending id."""
    candidates = [item for item in range(len(scores)) if item not in masked]
    return sorted(candidates, key=lambda item: (-scores[item], item))[:k]
