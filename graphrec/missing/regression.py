"""A modality as a linear function of the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import solve

from graphrec.config_missing import MissingConfig
from graphrec.missing.gap import Filling, Gap, Matrix, Real, Scale


@dataclass(frozen=True, eq=False)
class Ridge:
    """y = mean + W^T z, with W the minimum of 1/n sum_i |y_i - mean - W^T z_i|^2 + ridge |W|^2.

    z joins the inputs of an item, each scaled to mean 0 and mean square 1 over the n fitted items.
    In closed form W = (Z^T Z + n ridge 1)^-1 Z^T Y = Z^T (Z Z^T + n ridge 1)^-1 Y; the smaller of
    the two systems is solved.

    Source: hoerl1970ridge.

    Shapes:
        inputs: ``[n, P_s]`` each; weights W: ``[P, F]`` with P the sum of the P_s.
    """

    scales: tuple[Scale, ...]
    mean: Real
    weights: Real

    @classmethod
    def fit(cls, inputs: Sequence[Matrix], targets: Matrix, ridge: float) -> Self:
        """Fit on n > 0 rows."""
        scales = tuple(map(Scale.of, inputs))
        z = _joined(scales, inputs)
        mean: Real = targets.mean(axis=0, dtype=np.float64)
        y = targets - mean
        n, width = z.shape
        if width <= n:
            weights = solve(z.T @ z + n * ridge * np.eye(width), z.T @ y, assume_a="pos")
        else:
            weights = z.T @ solve(z @ z.T + n * ridge * np.eye(n), y, assume_a="pos")
        return cls(scales, mean, weights)

    def predict(self, inputs: Sequence[Matrix]) -> Real:
        """Return ``[n, F]`` for inputs ``[n, P_s]``."""
        predicted: Real = self.mean + _joined(self.scales, inputs) @ self.weights
        return predicted


def _joined(scales: Sequence[Scale], inputs: Sequence[Matrix]) -> Real:
    return np.hstack([scale.apply(rows) for scale, rows in zip(scales, inputs, strict=True)])


def by_regression(gap: Gap, config: MissingConfig) -> Filling:
    """Predict each item from all other modalities that it has.

    For every such set of modalities there is one ``Ridge``, fitted on the training items that have
    all of it and the modality to be filled. Items without any modality are not reached, nor are
    those whose set no training item has.
    """
    names = sorted(gap.sources)
    found = []
    for pattern in np.unique(gap.has[gap.missing], axis=0):
        inputs = [
            gap.sources[name].values for name, used in zip(names, pattern, strict=True) if used
        ]
        fitted = gap.examples[gap.has[gap.examples][:, pattern].all(axis=1)]
        if not inputs or not len(fitted):
            continue
        items = gap.missing[(gap.has[gap.missing] == pattern).all(axis=1)]
        targets = gap.modality.values[fitted]
        ridge = Ridge.fit([rows[fitted] for rows in inputs], targets, config.ridge)
        found.append(Filling(items, ridge.predict([rows[items] for rows in inputs])))
    if not found:
        return Filling(gap.missing[:0], gap.modality.values[:0])
    items, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Filling(items, rows)
