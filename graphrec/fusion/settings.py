"""Settings of what becomes of the modalities of items."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Literal, Self

from pydantic import NonNegativeFloat

from graphrec.alignment import AlignmentConfig
from graphrec.config import Fraction
from graphrec.errors import ConfigError
from graphrec.fusion import FUSIONS, Fusion
from graphrec.names import NotImportedError, resolve

SCORED = ("late", "sample", "model")
"""Places of fusion that combine scores, not vectors."""

WHOLE = ("early", "graph")
"""Places where an item is one vector before messages pass."""


def shares_of(
    shares: Mapping[str, float] | None, names: Collection[str]
) -> dict[str, float] | None:
    """The shares of some modalities, if any are given."""
    return None if shares is None else {name: shares[name] for name in shares if name in names}


class FusionConfig(AlignmentConfig):
    """Where and how modalities are fused, beside how they are aligned and disturbed."""

    where: Literal["early", "middle", "late", "sample", "model", "graph"] = "early"
    """Modalities are fused before messages pass; after messages of each have passed (middle); as
    scores (late); as scores of one model that learns from each modality as a sample of its own
    (sample), or of one model per modality, trained alone and together (model); or not at all:
    they tell which items are similar (graph)."""
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
    def reads_values(self) -> bool:
        """Whether rows of modalities enter the vectors of items, or terms of the loss."""
        return self.where != "graph" or self.has_terms

    @property
    def trains_views(self) -> bool:
        """Whether scores of single modalities have ranking losses."""
        return self.where in ("sample", "model") or self.late == "vote"

    def require_fitting_fusion(self) -> None:
        """Refuse an unknown fusion, and settings that contradict each other.

        Raises:
            ConfigError, ValueError: they do.
        """
        with suppress(NotImportedError):
            resolve(self.fusion, FUSIONS, "fusion", Fusion)
        if self.where not in WHOLE and self.modality_loss:
            raise ValueError(
                f"modality_loss is for where = 'early' or 'graph'; on where = {self.where!r} users "
                f"have other vectors for each modality"
            )
        if self.where == "graph" and not self.use_id:
            raise ValueError(
                "where = 'graph' leaves items their free embeddings only; set use_id = true"
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
        here = f"on where = {self.where!r}"
        if self.where in SCORED:
            yield "fusion", f"{here}, which fuses scores (late)"
        else:
            yield "late", here
        if self.where == "graph":
            for name in ("fusion", "modality_dropout"):
                yield name, f"{here}, which fuses nothing"
            if self.align == "none" and not self.modality_loss:
                yield "projection_l1", f"{here} without align or modality_loss"
        if not self.reads_values:
            for name in ("feature_drop", "feature_noise", "feature_mix"):
                yield name, f"{here}, where no term reads rows either"

    def needed_modalities(self) -> Iterator[tuple[str, int]]:
        """Each setting that is in use, and how many modalities it needs."""
        yield from self.needed_by_terms(self.use_id)
        if self.where not in WHOLE:
            yield "where", 1 if self.use_id else 2
        for name, needed in (("feature_drop", 1), ("modality_dropout", 2)):
            if getattr(self, name):
                yield name, needed

    def require_modalities(self, names: Collection[str]) -> None:
        """Refuse a setting that needs more modalities with values than there are.

        Raises:
            ConfigError: it does, or items have neither a modality nor a free embedding.
        """
        if not (names or self.use_id):
            raise ConfigError(
                f"{self.name} without features and with use_id = false has nothing to learn from. "
                f"Add a [features.NAME] table or set model.use_id = true."
            )
        for key, needed in self.needed_modalities():
            if len(names) < needed:
                raise ConfigError(
                    f"model.{key} needs {needed} or more modalities with values, but there are "
                    f"{len(names)}. Add a [features.NAME] table or remove model.{key}."
                )

    def reduced(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Without the shares of other modalities, and without what needs more of them.

        Raises:
            ConfigError: nothing would be left to learn from.
        """
        if not (matrices or self.use_id):
            raise ConfigError("model.use_id = false leaves nothing to learn from without features.")
        left = super().reduced(matrices, lists)
        for key in ("modality_shares", "view_shares"):
            shares = shares_of(getattr(left, key), {*matrices, "id"})
            left = left.model_copy(update={key: shares})
        gone = [key for key, needed in left.needed_modalities() if needed > len(matrices)]
        return left.at_defaults([*gone, "late", "view_shares"] if "where" in gone else gone)
