"""Settings of what is added to the ranking loss, and of what disturbs content in training."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from graphrec.config import ModelConfig


class AlignmentConfig(ModelConfig):
    """Alignment of modalities, balance among them, and regularisation of content."""

    align: Literal["none", "infonce", "mmd", "adversarial"] = "none"
    """Bring the modalities of the batch's items together by contrast, which takes in the free
    embeddings (infonce), as distributions (mmd), or against a discriminator (adversarial)."""
    align_weight: PositiveFloat = 0.1
    """Weight of the alignment; for adversarial that of the reversed gradient."""
    align_temperature: PositiveFloat = 0.2
    """Cosines are divided by it in infonce."""
    modality_loss: NonNegativeFloat = 0.0
    """Weight of one ranking loss per modality, by users' vectors and its tokens alone."""
    modality_shares: Mapping[str, NonNegativeFloat] | None = None
    """Weight of each modality within modality_loss, by name; by default all 1."""
    balance: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    """Weights within modality_loss stay, or are learned by uncertainty or by gradient norms."""
    balance_alpha: NonNegativeFloat = 1.5
    """How strongly gradnorm favours modalities that learn slowly; 0 makes all norms equal."""
    projection_l1: NonNegativeFloat = 0.0
    """Weight of the L1 norm of a projected modality, averaged over the batch's items."""
    feature_noise: NonNegativeFloat = 0.0
    """Deviation of noise on features, in deviations of their column, drawn anew each epoch."""
    feature_mix: NonNegativeFloat = 0.0
    """Mix items with others by shares from Beta(a, a) in each training step; 0 mixes none."""

    @property
    def has_terms(self) -> bool:
        """Whether anything is added to the ranking loss."""
        return self.align != "none" or self.modality_loss > 0 or self.projection_l1 > 0

    def idle_terms(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        if self.align == "none":
            yield "align_weight", "while align = 'none'"
        if self.align != "infonce":
            yield "align_temperature", f"on align = {self.align!r}"
        if not self.modality_loss:
            for name in ("modality_shares", "balance", "balance_alpha"):
                yield name, "while modality_loss = 0"
        if self.balance != "fixed":
            yield "modality_shares", f"on balance = {self.balance!r}"
        if self.balance != "gradnorm":
            yield "balance_alpha", f"on balance = {self.balance!r}"

    def needed_by_terms(self, use_id: bool) -> Iterator[tuple[str, int]]:
        """Each setting that is in use, and how many modalities it needs."""
        if self.align != "none":
            yield "align", 1 if use_id and self.align == "infonce" else 2
        if self.balance == "gradnorm":
            yield "balance", 2
        for name in ("modality_loss", "projection_l1", "feature_noise", "feature_mix"):
            if getattr(self, name):
                yield name, 1
