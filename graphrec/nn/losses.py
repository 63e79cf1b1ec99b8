"""Compute losses over scores of positives and sampled negatives, and the L2 term of a batch.

Each loss is a mean over the pairs of the batch; with ``weights`` ``[B]`` the term of each pair is
multiplied by its weight first.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional


def bpr(pos: Tensor, neg: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Return the Bayesian personalised ranking loss: mean of softplus((s_neg - s_pos) / t).

    It equals -log sigmoid without the overflow; several negatives are averaged.

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: rendle2009bpr, Section 4.1.
    Deviations: a mean instead of a sum over the pairs; the temperature t, 1 in the paper.
    """
    return _mean(functional.softplus((neg - pos.unsqueeze(1)) / temperature), weights)


def softmax(pos: Tensor, neg: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Return the sampled softmax loss: mean of -log(e^{s_pos/t} / (e^{s_pos/t} + sum_n e^{s_n/t})).

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: wu2024ssm, Eq. 3.
    Deviations: the negatives are those of ``training.negatives`` and are drawn for each pair.
    """
    logits = torch.cat([pos.unsqueeze(1), neg], dim=1) / temperature
    return _mean(torch.logsumexp(logits, dim=1) - logits[:, 0], weights)


def bce(pos: Tensor, neg: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of positives as ones and negatives as zeros.

    Both sides have the same weight.

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: he2017ncf, Eq. 7.
    Deviations: a mean over each side, where in the paper each negative has the weight of the
    positive; the temperature t, 1 in the paper.
    """
    ones = _mean(functional.softplus(-pos / temperature), weights)
    return ones + _mean(functional.softplus(neg / temperature), weights)


def _mean(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of terms ``[B]`` or ``[B, n]``, each times the weight of its pair."""
    if weights is None:
        return terms.mean()
    return (terms * (weights if terms.ndim == 1 else weights.unsqueeze(1))).mean()


class Chosen(NamedTuple):
    """Rows of a table ``[N, D]``, by int64 ids whose first dimension is B; rows may repeat."""

    table: Tensor
    ids: Tensor


def l2(*chosen: Chosen) -> Tensor:
    """Return half the squared norm of the chosen rows, per training pair: sum ||row||^2 / (2 B).

    Where more rows are chosen than the table has, each row is squared once and counted as often as
    it was chosen, which is several times faster with many negatives. Result: scalar.

    Source: he2020lightgcn, Eq. 15, on the embeddings of the batch as in the reference code.
    """
    total = chosen[0].table.new_zeros(())
    for table, ids in chosen:
        flat = ids.flatten()
        if len(flat) <= len(table):
            total = total + table.index_select(0, flat).square().sum()
        else:
            ones = table.new_ones(len(flat))
            counts = table.new_zeros(len(table)).index_add_(0, flat, ones)
            total = total + (counts * table.square().sum(dim=1)).sum()
    return total / (2 * len(chosen[0].ids))


class Loss(Protocol):
    """Ranking loss: a scalar from ``pos`` ``[B]`` and ``neg`` ``[B, n]``."""

    def __call__(
        self, pos: Tensor, neg: Tensor, temperature: float, weights: Tensor | None = None
    ) -> Tensor:
        """Return the mean over the pairs, each times its weight if there are weights."""


LOSSES: dict[str, Loss] = {
    "bpr": bpr,
    "softmax": softmax,
    "bce": bce,
}
