"""Settings that every model has."""

from collections.abc import Collection, Iterable
from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from graphrec.core.config import Config


class ModelConfig(Config):
    """Settings that every model has; ``name`` chooses the class that adds the others."""

    name: str
    """A name of ``MODELS`` (``graphrec list models``) or ``"package.module:Class"``."""

    def at_defaults(self, names: Iterable[str]) -> Self:
        """Return the settings with some at their defaults, and with them all that lose effect."""
        left, gone = self, list(names)
        while gone:
            left = left.model_copy(update={name: self._default(name) for name in gone})
            gone = [name for name, _ in left.ignored_settings()]
        return left

    def restricted_to(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Return the settings for some of the modalities, without what needs the others.

        Args:
            matrices: modalities with rows. lists: modalities that are lists of neighbours.

        Raises:
            ConfigError: nothing would be left to learn from.
        """
        return self


class EmbeddingConfig(ModelConfig):
    """Settings of models that rank by the inner product of user and item vectors."""

    dim: PositiveInt = 64
    """Width D of the embeddings."""
    init_std: PositiveFloat = 0.1
    """Standard deviation of the initial embeddings."""
    loss: Literal["bpr", "softmax", "bce"] = "bpr"
    """Training objective."""
    temperature: PositiveFloat = 1.0
    """Scores are divided by it inside the loss."""
    normalize: bool = False
    """Rank by cosine instead of inner product, in training and evaluation."""
    reg: NonNegativeFloat = 1e-4
    """Weight of half the squared norm of the batch's own embeddings, per training pair."""
