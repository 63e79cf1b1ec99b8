"""The terms beside the ranking loss, item by item from their formulas, and small inputs."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Dense = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FILLERS = (0.0, 1e8, -1e8, torch.finfo(torch.float32).max)
"""What may stand where a modality is missing."""


def tokens_and_mask(num_items: int = 9, num: int = 3, dim: int = 4) -> tuple[Tensor, Tensor]:
    """Random tokens and gaps; item 0 has all modalities, item 1 none, item 2 the last only."""
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randn(num_items, num, dim, generator=rng, dtype=torch.float64)
    present = torch.rand(num_items, num, generator=rng) < 0.8
    present[0], present[1:3] = True, False
    present[2, -1] = True
    return tokens, present


def cosine(a: Dense, b: Dense) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def infonce(views: Dense, present: Mask, temperature: float) -> float:
    """Mean over pairs of views of the mean of both directions."""
    found = []
    for v, w in combinations(range(views.shape[1]), 2):
        items = [i for i in range(len(views)) if present[i, v] and present[i, w]]
        total = 0.0
        for i in items:
            own = np.exp(cosine(views[i, v], views[i, w]) / temperature)
            there = sum(np.exp(cosine(views[i, v], views[j, w]) / temperature) for j in items)
            back = sum(np.exp(cosine(views[j, v], views[i, w]) / temperature) for j in items)
            total -= np.log(own / there) + np.log(own / back)
        found.append(total / (2 * len(items)) if items else 0.0)
    return float(np.mean(found))


def mean_squared_distance(points: Sequence[Dense]) -> float:
    return float(np.mean([(a - b) @ (a - b) for a in points for b in points]))


def squared_mmd(x: Dense, y: Dense, scale: float | None = None) -> float:
    """Three means of a kernel of five widths; ``scale`` is that of both samples by default."""
    unit = mean_squared_distance([*x, *y]) if scale is None else scale

    def kernel(a: Dense, b: Dense) -> float:
        square = (a - b) @ (a - b)
        return float(sum(np.exp(-square / (c * unit)) for c in (0.25, 0.5, 1, 2, 4)))

    return float(
        np.mean([kernel(a, b) for a in x for b in x])
        + np.mean([kernel(a, b) for a in y for b in y])
        - 2 * np.mean([kernel(a, b) for a in x for b in y])
    )


def mmd(tokens: Dense, present: Mask) -> float:
    num = tokens.shape[1]
    points = [tokens[present[:, m], m] for m in range(num)]
    found = [
        squared_mmd(points[m], points[n]) if len(points[m]) and len(points[n]) else 0.0
        for m, n in combinations(range(num), 2)
    ]
    return float(np.mean(found))


def guesses(tokens: Dense, present: Mask, state: dict[str, Dense]) -> float:
    """Mean cross-entropy of the modality of each present token."""
    found = []
    for i, m in np.argwhere(present):
        hidden = np.maximum(state["hidden"].T @ tokens[i, m] + state["hidden_bias"], 0)
        energy = state["output"].T @ hidden + state["output_bias"]
        found.append(np.log(np.exp(energy).sum()) - energy[m])
    return float(np.mean(found))


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def ranking(loss: str, pos: Dense, neg: Dense, known: Mask, temperature: float) -> float:
    """The three losses; a negative that is not known has the score -inf."""
    if loss == "bpr":
        pairs = [
            softplus((n - p) / temperature) if k else 0.0
            for p, row, knows in zip(pos, neg, known, strict=True)
            for n, k in zip(row, knows, strict=True)
        ]
        return float(np.mean(pairs))
    if loss == "softmax":
        rows = []
        for p, row, knows in zip(pos, neg, known, strict=True):
            total = np.exp(p / temperature) + sum(np.exp(row[knows] / temperature))
            rows.append(-np.log(np.exp(p / temperature) / total))
        return float(np.mean(rows))
    zeros = [
        softplus(n / temperature) if k else 0.0
        for n, k in zip(neg.ravel(), known.ravel(), strict=True)
    ]
    return float(np.mean([softplus(-p / temperature) for p in pos]) + np.mean(zeros))


def modality_losses(
    users: Dense, tokens: Dense, present: Mask, items: Dense, loss: str, temperature: float
) -> list[float]:
    """For each modality the loss of the pairs that it can rank; 0 where there is none."""
    found = []
    for m in range(tokens.shape[1]):
        pos, neg, known = [], [], []
        for user, row in zip(users, items, strict=True):
            has = present[row, m]
            if has[0] and has[1:].any():
                scores = tokens[row, m] @ user
                pos.append(scores[0]), neg.append(scores[1:]), known.append(has[1:])
        value = ranking(loss, *map(np.array, (pos, neg, known)), temperature) if pos else 0.0
        found.append(value)
    return found
