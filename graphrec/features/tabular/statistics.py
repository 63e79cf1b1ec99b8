"""Encode statistics of the training interactions, as features of items or of users."""

from typing import ClassVar

import numpy as np

from graphrec.data import Interactions, Modality
from graphrec.features.columns import standardise
from graphrec.features.config import FeatureConfig, Side


class InteractionConfig(FeatureConfig):
    """Settings of the statistics of training interactions: counts, weights and times."""

    encoder: str = "interactions"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""


class InteractionEncoder:
    """Encoder of statistics of the training interactions: counts, weights, recency and age.

    Unlike other encoders it receives the training part, and nothing else.
    """

    Config: ClassVar[type[FeatureConfig]] = InteractionConfig

    def __init__(self, config: FeatureConfig) -> None:
        self.config = config

    def encode(self, train: Interactions, side: Side) -> Modality:
        """Encode all items ``[I, F]`` or all users ``[U, F]``."""
        return interaction_statistics(train, side)


def interaction_statistics(train: Interactions, side: Side) -> Modality:
    """Describe each item (or user) by its n training interactions; without any it is missing.

    The columns are ``log(1 + n)``; where there are weights, their mean and variance; where there
    are times, the time from its last interaction, and from all of its interactions on average, to
    the last interaction of the training part. Each column has mean 0 and deviation 1 over the items
    (or users) with n > 0.

    Shapes:
        values: ``[I, F]`` or ``[U, F]`` with F = 1, 3 or 5.
    """
    nodes = train.items if side == "items" else train.users
    total = train.num_items if side == "items" else train.num_users
    count = np.bincount(nodes, minlength=total)
    present = count > 0
    often = np.maximum(count, 1)
    columns = [np.log1p(count)]
    if train.weights is not None:
        weights = train.weights.astype(np.float64)
        mean = np.bincount(nodes, weights, minlength=total) / often
        squares = np.square(weights - mean[nodes])
        columns += [mean, np.bincount(nodes, squares, minlength=total) / often]
    if train.times is not None and len(train):
        ages = (train.times.max() - train.times).astype(np.float64)
        recency = np.full(total, np.inf)
        np.minimum.at(recency, nodes, ages)
        columns += [recency, np.bincount(nodes, ages, minlength=total) / often]
    values = np.zeros((total, len(columns)), dtype=np.float32)
    if present.any():
        values[present] = standardise(np.column_stack(columns)[present])
    return Modality(values, present)
