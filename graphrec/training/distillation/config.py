"""The table ``[distill]``."""

from typing import Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from graphrec.core.config import AbsolutePath, Config


class DistillConfig(Config):
    """A finished run that teaches the model; without a teacher the model learns alone."""

    teacher: AbsolutePath | None = None
    """Folder of a finished run on the same data and split, by the same protocol. It is read while
    the model trains, and not any more afterwards."""
    score_weight: NonNegativeFloat = 1.0
    """Weight of the loss by which the model's scores follow the teacher's; 0 leaves it out."""
    temperature: PositiveFloat = 1.0
    """Scores of both are divided by it inside that loss: a high one also tells what the teacher
    thinks of items that it ranks low."""
    candidates: NonNegativeInt = 16
    """Items drawn for each training pair from the teacher's best, on which scores are compared
    beside the positive and the negatives."""
    top: PositiveInt = 100
    """How many are the teacher's best of each user; training items are not among them."""
    embedding_weight: NonNegativeFloat = 0.0
    """Weight of the loss by which final embeddings follow the teacher's; 0 leaves it out."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.teacher is not None and not (self.score_weight or self.embedding_weight):
            raise ValueError(
                "score_weight and embedding_weight are both 0, so the teacher teaches nothing; "
                "raise one or remove the table"
            )
        self.require_effect()
        return self

    def inactive_settings(self) -> list[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        if self.teacher is None:
            others = [name for name in type(self).model_fields if name != "teacher"]
            return [(name, "without teacher") for name in others]
        if not self.score_weight:
            reason = "while score_weight = 0"
            return [(name, reason) for name in ("temperature", "candidates", "top")]
        return [] if self.candidates else [("top", "while candidates = 0")]
