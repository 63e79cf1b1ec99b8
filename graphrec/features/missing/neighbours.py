"""Rows of items with common users."""

import numpy as np

from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.missing_modality import Filling, MissingModality

BLOCK_COLUMNS = 64
"""Columns propagated at once: memory, never the result."""


def by_neighbours(gap: MissingModality, config: MissingConfig) -> Filling:
    """x_i = sum_j C_ij x_j / sum_j C_ij over the items j that have a row; C_ij = common users.

    C = R^T R with the training matrix R ``[U, I]``: the mean over all paths item - user - item.
    An item without a neighbour that has a row waits: in the next round, the items that this one
    filled count as well, and so on until a round reaches nobody. What is filled stays as it is.

    Source: malitesta2024missing.
    Deviations: common users weigh, and no edge is left out, where its graph of items is unweighted
    and sparsified.
    """
    matrix = gap.train.matrix.astype(np.float64)
    of_items = matrix.T.tocsr()
    values, known = gap.modality.values.copy(), gap.modality.present.copy()
    while True:
        common = of_items @ (matrix @ known.astype(np.float64))
        reached = np.flatnonzero((common > 0) & ~known)
        if not len(reached):
            break
        to_reached = of_items[reached]
        for start in range(0, values.shape[1], BLOCK_COLUMNS):
            block = np.s_[start : start + BLOCK_COLUMNS]
            sums = to_reached @ (matrix @ (values[:, block] * known[:, None]))
            values[reached, block] = sums / common[reached, None]
        known[reached] = True
    filled = np.flatnonzero(known & ~gap.modality.present)
    return Filling(filled, values[filled])
