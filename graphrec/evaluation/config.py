"""Settings of the evaluation."""

from typing import ClassVar, Literal

from pydantic import PositiveInt, field_validator

from graphrec.core.config import Config, Json


class EvaluationConfig(Config):
    """What is measured, and by whose conventions."""

    incidental: ClassVar[frozenset[str]] = frozenset({"memory_mb"})

    protocol: str = "graphrec"
    """Preset of conventions: graphrec, ngcf, mmrec, recbole or lattice."""
    selection: Literal["valid", "last_epoch", "best_test_epoch"] | None = None
    """Replace the preset's rule for choosing the epoch; best_test_epoch marks the result."""
    valid_metric: str | None = None
    """Replace the preset's metric for early stopping, written like ``ndcg@20``."""
    top_k: tuple[PositiveInt, ...] = (10, 20)
    """Cut-offs."""
    metrics: tuple[str, ...] = (
        "recall",
        "precision",
        "f1",
        "ndcg",
        "map",
        "mrr",
        "hit",
        "accuracy",
        "coverage",
        "novelty",
        "gini",
        "popularity",
    )
    """Names of ``METRICS``; ``auc`` is available and needs one more pass over the scores."""
    baselines: tuple[str, ...] | None = None
    """Models run beside this one, with their default settings, on the same split; [] runs none. By
    default popular, itemknn and ease, as far as their memory and time are small on the data."""
    memory_mb: PositiveInt = 512
    """Memory for one block of scores; changes speed, never a result."""

    def identity(self) -> dict[str, Json]:
        """Return the settings that make the experiment; the usual baselines or none are alike."""
        settings = super().identity()
        if not self.baselines:
            settings.pop("baselines", None)
        return settings

    @field_validator("top_k")
    @classmethod
    def _sorted(cls, top_k: tuple[int, ...]) -> tuple[int, ...]:
        if not top_k:
            raise ValueError("needs at least one cut-off")
        return tuple(sorted(set(top_k)))
