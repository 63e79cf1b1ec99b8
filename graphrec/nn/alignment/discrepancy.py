"""Align the distributions of modalities by their maximum mean discrepancy."""

from itertools import combinations

import torch
from torch import Tensor

WIDEST, KERNELS = 4.0, 5
"""Largest bandwidth, as a multiple of the mean squared distance, and number of kernels."""
SMALLEST = 1e-12
"""Mean squared distance below which all points count as one."""


def mmd(tokens: Tensor, present: Tensor) -> Tensor:
    """Return the mean of ``squared_mmd`` over all pairs of modalities, each with its items.

    Unlike a contrastive loss it does not compare an item with itself, so items with a single
    modality count, too.

    Shapes:
        tokens: ``[n, M, D]``, M > 1; present: ``[n, M]`` bool; result: scalar.
    """
    pairs = combinations(range(tokens.shape[1]), 2)
    points = [tokens[present[:, m], m] for m in range(tokens.shape[1])]
    return torch.stack([squared_mmd(points[m], points[n]) for m, n in pairs]).mean()


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the biased estimate of the squared maximum mean discrepancy of two samples.

        mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)

    with k(a, b) = sum_c exp(-|a - b|^2 / (c s)), c = 4, 2, 1, 1/2, 1/4, and s the mean squared
    distance of all points of both samples, without a gradient. The biased estimate is never
    negative, so training cannot profit from noise, and is defined for a single point. Without
    points on one side it is 0, and so is its gradient.

    Shapes:
        x: ``[n, D]``; y: ``[m, D]``; result: scalar.

    Source: gretton2012mmd, Eq. 5.
    Deviations: a sum of five kernels about the mean squared distance, where the paper has one about
    the median distance.
    """
    points = torch.cat([x, y])
    if not len(x) or not len(y):
        return 0.0 * points.sum()
    points = points - points.detach().mean(dim=0)  # distances lose fewer digits near the origin
    squares = points.square().sum(dim=1)
    distances = (squares.unsqueeze(1) + squares - 2 * points @ points.T).clamp(min=0.0)
    scale = distances.detach().mean().clamp(min=SMALLEST)
    kernel = factor = torch.exp(-distances / (WIDEST * scale))
    for _ in range(KERNELS - 1):
        factor = factor * factor  # half the bandwidth, without another exponential
        kernel = kernel + factor
    weights = torch.cat([x.new_full((len(x),), 1 / len(x)), y.new_full((len(y),), -1 / len(y))])
    return weights @ kernel @ weights
