"""Define the table ``[training]``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from graphrec.core.config import Config


class TrainingConfig(Config):
    """Settings of the optimisation loop. Closed-form models have none and ignore this table.

    A model may have other defaults for this table: ``Model.training_defaults``.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

    lr: PositiveFloat = 1e-3
    """Learning rate of Adam."""
    batch_size: PositiveInt = 2048
    """Number of training pairs per step."""
    max_epochs: PositiveInt = 1000
    """Upper bound on passes over the training pairs."""
    patience: PositiveInt = 20
    """Number of evaluations in a row without a better validation score after which to stop."""
    eval_every: PositiveInt = 1
    """Number of epochs between evaluations."""
    num_negatives: PositiveInt = 1
    """Number of negatives drawn for each positive pair."""
    negatives: Literal["uniform", "popularity"] = "uniform"
    """Distribution of negatives; never an item of the user's training part."""
    sampling: Literal["pairs", "users"] = "pairs"
    """Positives of an epoch: every training pair once; or as many draws of a user and then of one
    of its items, so that users with few and with many items have equal weight."""
    schedule: Literal["constant", "exponential", "cosine"] = "constant"
    """Learning rate over epochs: lr; lr * decay^(epoch / 50); or half a cosine to zero."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.96
    """Base of the exponential schedule."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of training; bfloat16 is mixed precision and needs CUDA."""
    checkpoint_every: PositiveInt = 1
    """Number of epochs between checkpoints."""
