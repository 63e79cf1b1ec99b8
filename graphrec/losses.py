"""Losses over scores of positives and sampled negatives, and the L2 term of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def bpr(pos: Tensor, neg: Tensor, temperature: float) -> Tensor:
    """Bayesian personalised ranking: mean of softplus((s_neg - s_pos) / t).

    Equal to -log sigmoid, without its overflow; several negatives are averaged.

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: rendle2009bpr, Section 4.1.
    """
    return functional.softplus((neg - pos.unsqueeze(1)) / temperature).mean()


def softmax(pos: Tensor, neg: Tensor, temperature: float) -> Tensor:
    """Sampled softmax: mean of -log(e^{s_pos/t} / (e^{s_pos/t} + sum_n e^{s_n/t})).

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: wu2024ssm, Eq. 3.
    """
    logits = torch.cat([pos.unsqueeze(1), neg], dim=1) / temperature
    return (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean()


def bce(pos: Tensor, neg: Tensor, temperature: float) -> Tensor:
    """Binary cross-entropy: positives are ones, negatives zeros; both sides weigh the same.

    Shapes:
        pos: ``[B]``; neg: ``[B, n]``; result: scalar.

    Source: he2017ncf, Eq. 7.
    """
    ones = functional.softplus(-pos / temperature).mean()
    return ones + functional.softplus(neg / temperature).mean()


def l2(*rows: Tensor) -> Tensor:
    """Half the squared norm of the rows, per training pair: sum ||row||^2 / (2 B).

    Shapes:
        rows: tensors whose first dimension is B; result: scalar.

    Source: he2020lightgcn, Eq. 15, on the embeddings of the batch as in the reference code.
    """
    total = rows[0].new_zeros(())
    for tensor in rows:
        total = total + tensor.square().sum()
    return total / (2 * len(rows[0]))


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "bpr": bpr,
    "softmax": softmax,
    "bce": bce,
}
