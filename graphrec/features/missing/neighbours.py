"""Fill missing rows from items with common users."""

import numpy as np

from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.missing_modality import Filling, MissingModality

BLOCK_COLUMNS = 64
"""Columns propagated at once: it changes memory, never the result."""


def by_neighbours(gap: MissingModality, config: MissingConfig) -> Filling:
    """Average over the items with common users: x_i = sum_j C_ij x_j / sum_j C_ij, j with a row.

    C = R^T R counts common users, with the training matrix R ``[U, I]``; so this is the mean over
    all paths item - user - item. An item without a neighbour that has a row waits for the next
    round, in which the items filled so far count as well. The rounds end when one fills no item. A
    filled row is not changed again.

    Source: malitesta2024missing.
    Deviations: common users are the weights, and no edge is left out, where the paper's graph of
    items is unweighted and sparsified.
    """
    matrix = gap.train.matrix.astype(np.float64)
    of_items = matrix.T.tocsr()
    values, known = gap.modality.values.copy(), gap.modality.present.copy()
    while True:
        common = of_items @ (matrix @ known.astype(np.float64))
        fillable = np.flatnonzero((common > 0) & ~known)
        if not len(fillable):
            break
        to_fillable = of_items[fillable]
        for start in range(0, values.shape[1], BLOCK_COLUMNS):
            block = np.s_[start : start + BLOCK_COLUMNS]
            sums = to_fillable @ (matrix @ (values[:, block] * known[:, None]))
            values[fillable, block] = sums / common[fillable, None]
        known[fillable] = True
    filled = np.flatnonzero(known & ~gap.modality.present)
    return Filling(filled, values[filled])
