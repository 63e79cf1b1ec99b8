"""Settings of what becomes of the modalities of items."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import NonNegativeFloat

from graphrec.alignment import AlignmentConfig
from graphrec.config import Fraction
from graphrec.fusion import FUSIONS
from graphrec.names import resolve

SCORED = ("late", "sample", "model")
"""Places of fusion that combine scores, not vectors."""


class FusionConfig(AlignmentConfig):
    """Where and how modalities are fused, beside how they are aligned and disturbed."""

    where: Literal["early", "middle", "late", "sample", "model"] = "early"
    """Modalities are fused before messages pass; after messages of each have passed (middle); as
    scores (late); or as scores of one model that learns from each modality as a sample of its own
    (sample), or of one model per modality, trained alone and together (model)."""
    fusion: str = "attention"
    """How the modalities of an item become one vector, where = early or middle; see ``graphrec
    list fusions``."""
    late: Literal["mean", "weighted", "learned", "user", "vote"] = "mean"
    """How scores become one: their mean, by given weights (view_shares), by learned ones, by those
    of each user (attention), or by the ranks that they give."""
    view_shares: Mapping[str, NonNegativeFloat] | None = None
    """Weight of the score of each modality, by name, and of the free embeddings (id)."""
    use_id: bool = True
    """Add a free embedding per item to its fused modalities."""
    feature_drop: Fraction = 0.0
    """Share of the feature columns that is left out of training, drawn anew each epoch."""
    modality_dropout: Fraction = 0.0
    """Probability that an item lacks a modality in a training step; one always stays."""

    @property
    def trains_views(self) -> bool:
        """Whether scores of single modalities have ranking losses."""
        return self.where in ("sample", "model") or self.late == "vote"

    def require_fitting_fusion(self) -> None:
        """Refuse an unknown fusion, and settings that contradict each other.

        Raises:
            ConfigError, ValueError: they do.
        """
        resolve(self.fusion, FUSIONS, "fusion")
        if self.where != "early" and self.modality_loss:
            raise ValueError(
                f"modality_loss is for where = 'early'; on where = {self.where!r} users have other "
                f"vectors for each modality"
            )
        if self.where == "sample" and self.late in ("learned", "user"):
            raise ValueError(
                f"late = {self.late!r} has nothing to learn from on where = 'sample', which trains "
                f"each modality alone; use where = 'late' or 'model'"
            )
        if (self.late == "weighted") != (self.view_shares is not None):
            raise ValueError("late = 'weighted' and view_shares belong together; give both")
        if self.view_shares is not None and not any(self.view_shares.values()):
            raise ValueError("all of view_shares are 0; give one of them more")

    def idle_fusion(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        yield from self.idle_terms()
        if self.where in SCORED:
            yield "fusion", f"on where = {self.where!r}, which fuses scores (late)"
        else:
            yield "late", f"on where = {self.where!r}"

    def needed_modalities(self) -> Iterator[tuple[str, int]]:
        """Each setting that is in use, and how many modalities it needs."""
        yield from self.needed_by_terms(self.use_id)
        if self.where != "early":
            yield "where", 1 if self.use_id else 2
        for name, needed in (("feature_drop", 1), ("modality_dropout", 2)):
            if getattr(self, name):
                yield name, needed
