"""Interactions that are drawn, as large as those of a shop."""

import numpy as np

from graphrec.data import Interactions


def drawn(rng: np.random.Generator, num_users: int, num_items: int, num_pairs: int) -> Interactions:
    """Distinct pairs whose items are as unevenly popular as in shops."""
    popularity = 1 / np.arange(1, num_items + 1)
    users = rng.integers(0, num_users, 2 * num_pairs)
    items = rng.choice(num_items, 2 * num_pairs, p=popularity / popularity.sum())
    pairs = np.unique(np.stack([users, items], axis=1), axis=0)
    pairs = pairs[rng.permutation(len(pairs))[:num_pairs]].astype(np.int32)
    return Interactions(pairs[:, 0], pairs[:, 1], num_users, num_items)
