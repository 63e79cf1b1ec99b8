"""Measure fitted models on valid and test."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphrec.core.progress import step
from graphrec.data import Interactions
from graphrec.evaluation import Evaluation, evaluate
from graphrec.experiment.prepared import Prepared
from graphrec.models import Model


def measure_valid(
    model: Model, prepared: Prepared, metrics: tuple[str, ...] = ()
) -> Evaluation | None:
    """Evaluate on the validation part, if there is one; by default all metrics of the run."""
    parts = prepared.split
    if not len(parts.valid):
        return None
    masked = prepared.protocol.masks("valid", parts.train, parts.valid)
    metrics = metrics or prepared.config.evaluation.metrics
    return _evaluate(model, prepared, parts.valid, masked, metrics)


def measure_test(model: Model, prepared: Prepared, truth: Interactions) -> Evaluation:
    """Evaluate on the opened test part; every user is ranked, those with test items measured."""
    parts = prepared.split
    masked = prepared.protocol.masks("test", parts.train, parts.valid)
    metrics = prepared.config.evaluation.metrics
    return _evaluate(model, prepared, truth, masked, metrics, np.arange(truth.num_users))


def _evaluate(
    model: Model,
    prepared: Prepared,
    truth: Interactions,
    masked: tuple[Interactions, ...],
    metrics: tuple[str, ...],
    users: npt.NDArray[np.int64] | None = None,
) -> Evaluation:
    config = prepared.config
    model.eval()
    with torch.no_grad(), step("Ranking", truth.num_users if users is None else len(users)) as bar:
        scorer = model.scorer()

        def counted(batch: Tensor) -> Tensor:
            bar.advance(len(batch))
            return scorer(batch)

        return evaluate(
            counted,
            truth,
            masked,
            prepared.split.train,
            prepared.protocol,
            metrics,
            config.evaluation.top_k,
            device=prepared.device,
            memory_bytes=config.evaluation.memory_mb * 2**20,
            users=users,
            min_length=1 if users is None else config.run.recommend_k,
        )
