"""Define the table ``[evaluation]``."""

from typing import ClassVar, Literal

from pydantic import PositiveInt, field_validator

from graphrec.core.config import Config, Json


class EvaluationConfig(Config):
    """Settings of the evaluation: the metrics and the protocol that defines them."""

    incidental: ClassVar[frozenset[str]] = frozenset({"memory_mb"})

    protocol: str = "graphrec"
    """Preset of conventions: graphrec, ngcf, mmrec, recbole or lattice."""
    selection: Literal["valid", "last_epoch", "best_test_epoch"] | None = None
    """Rule for choosing the epoch, instead of the preset's; best_test_epoch marks the result."""
    valid_metric: str | None = None
    """Metric for early stopping, instead of the preset's, written like ``ndcg@20``."""
    top_k: tuple[PositiveInt, ...] = (10, 20)
    """Cut-offs of the metrics."""
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
    """Models run on the same split with their default settings, for comparison; [] runs none. By
    default popular, itemknn and ease, as far as they need little memory and time on the data."""
    memory_mb: PositiveInt = 512
    """Memory in MiB for one block of scores; it changes speed, never a result."""

    def identity(self) -> dict[str, Json]:
        """Return the settings that define the experiment; default baselines count as none."""
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
