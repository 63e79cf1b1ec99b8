"""Align views of one item by contrast with the views of other items."""

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional


def infonce(views: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss of picking an item out by one view, given another view.

    For views v and w, with c_ij the cosine of view v of item i and view w of item j, both of which
    run over the n items that have v and w,

        L_vw = - 1 / 2n sum_i [log softmax_j(c_ij / t) at i + log softmax_j(c_ji / t) at i]

    and the result is the mean of L_vw over all pairs of views. With fewer than two items there is
    nothing to distinguish: their L_vw is 0, and so is its gradient.

    Shapes:
        views: ``[n, V, D]``, V > 1; present: ``[n, V]`` bool; result: scalar.

    Source: oord2018cpc, Eq. 4, symmetric and with cosines as in radford2021clip.
    Deviations: the temperature t is a setting and not learned.
    """
    terms = []
    for v, w in combinations(range(views.shape[1]), 2):
        both = present[:, v] & present[:, w]
        first, second = (functional.normalize(views[both, view], dim=1) for view in (v, w))
        cosines = first @ second.T / temperature
        items = torch.arange(len(cosines), device=views.device)
        for logits in (cosines, cosines.T):
            total = functional.cross_entropy(logits, items, reduction="sum")
            terms.append(total / max(len(items), 1))
    return torch.stack(terms).mean()
