"""Fill missing rows by ridge regression on the other modalities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.missing_modality import Filling, Matrix, MissingModality, Real, Scale

PENALTIES = 10.0 ** np.arange(-3, 3.5, 0.5)
"""Penalties tried by ``Ridge``, in units of the mean eigenvalue of the covariance of the inputs."""

NOTHING = 1e-12
"""Replaces 0 where a single row leaves nothing to compare."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """y = mean + W^T z, with W the minimum of 1/n sum_i |y_i - mean - W^T z_i|^2 + p |W|^2.

    z joins the inputs of an item, each scaled to mean 0 and mean square 1 over the n fitted items.
    With Z = Q S V^T, W = (Z^T Z + n p 1)^-1 Z^T Y = V S / (S^2 + n p) Q^T Y. The penalty p is that
    of ``PENALTIES`` with the least generalised cross-validation error
    ``|Y - Z W|^2 / (n - 1 - sum of S^2 / (S^2 + n p))^2``: uninformative inputs leave little but
    the mean.

    Source: hoerl1970ridge; the penalty golub1979gcv.

    Shapes:
        inputs: ``[n, P_s]`` each; weights W: ``[P, F]`` with P the sum of the P_s.
    """

    scales: tuple[Scale, ...]
    mean: Real
    weights: Real

    @classmethod
    def fit(cls, inputs: Sequence[Matrix], targets: Matrix) -> Self:
        """Fit on n > 0 rows."""
        scales = tuple(map(Scale.of, inputs))
        mean: Real = targets.mean(axis=0, dtype=np.float64)
        y = targets - mean
        left, spectrum, right = np.linalg.svd(_joined(scales, inputs), full_matrices=False)
        seen = left.T @ y
        strength = np.square(seen).sum(axis=1)
        unseen = max(0.0, np.square(y).sum() - strength.sum())
        kept = spectrum**2 / (spectrum**2 + len(y) * PENALTIES[:, None])
        free = np.maximum(len(y) - 1 - kept.sum(axis=1), NOTHING)
        errors = (unseen + (strength * (1 - kept) ** 2).sum(axis=1)) / free**2
        shrunk = spectrum / (spectrum**2 + len(y) * PENALTIES[errors.argmin()])
        return cls(scales, mean, right.T @ (shrunk[:, None] * seen))

    def predict(self, inputs: Sequence[Matrix]) -> Real:
        """Return ``[n, F]`` for inputs ``[n, P_s]``."""
        predicted: Real = self.mean + _joined(self.scales, inputs) @ self.weights
        return predicted


def _joined(scales: Sequence[Scale], inputs: Sequence[Matrix]) -> Real:
    return np.hstack([scale.apply(rows) for scale, rows in zip(scales, inputs, strict=True)])


def by_regression(gap: MissingModality, config: MissingConfig) -> Filling:
    """Predict each item from all other modalities that it has.

    For every such set of modalities there is one ``Ridge``, fitted on the training items that have
    the whole set and the modality to be filled. Items without any modality are not filled, nor are
    items whose set no training item has.
    """
    names = sorted(gap.sources)
    fillings = []
    for pattern in np.unique(gap.has[gap.missing], axis=0):
        inputs = [
            gap.sources[name].values for name, used in zip(names, pattern, strict=True) if used
        ]
        fitted = gap.examples[gap.has[gap.examples][:, pattern].all(axis=1)]
        if not inputs or not len(fitted):
            continue
        items = gap.missing[(gap.has[gap.missing] == pattern).all(axis=1)]
        targets = gap.modality.values[fitted]
        ridge = Ridge.fit([rows[fitted] for rows in inputs], targets)
        fillings.append(Filling(items, ridge.predict([rows[items] for rows in inputs])))
    if not fillings:
        return Filling(gap.missing[:0], gap.modality.values[:0])
    items, rows = (np.concatenate(parts) for parts in zip(*fillings, strict=True))
    return Filling(items, rows)
