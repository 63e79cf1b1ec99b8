"""Settings of the training loop."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from graphrec.core.config import Config


class TrainingConfig(Config):
    """The optimisation loop. Closed-form models have none and ignore this table by design.

    A model may have defaults of its own here: ``Model.training_defaults``.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

    lr: PositiveFloat = 1e-3
    """Learning rate of Adam."""
    batch_size: PositiveInt = 2048
    """Training pairs per step."""
    max_epochs: PositiveInt = 1000
    """Upper bound on passes over the training pairs."""
    patience: PositiveInt = 20
    """Stop after so many evaluations in a row without a better validation score."""
    eval_every: PositiveInt = 1
    """Epochs between evaluations."""
    num_negatives: PositiveInt = 1
    """Negatives drawn for each positive pair."""
    negatives: Literal["uniform", "popularity"] = "uniform"
    """Distribution of negatives; never an item of the user's training part."""
    sampling: Literal["pairs", "users"] = "pairs"
    """Positives of an epoch: every training pair once; or as many draws of a user and then of one
    of its items, in which a user with few items counts as much as one with many."""
    schedule: Literal["constant", "exponential", "cosine"] = "constant"
    """Learning rate over epochs: lr; lr * decay^(epoch / 50); or half a cosine to zero."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.96
    """Base of the exponential schedule."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is mixed precision and needs CUDA."""
    checkpoint_every: PositiveInt = 1
    """Epochs between checkpoints."""
