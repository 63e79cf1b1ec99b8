"""Build and fit the models of an experiment."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from graphrec.core.cache import cache_folder
from graphrec.core.memory_limit import require_memory
from graphrec.core.rng import stream_seed, torch_stream
from graphrec.experiment.baselines import chosen_baselines
from graphrec.experiment.log import RunLog
from graphrec.experiment.measure import _evaluate
from graphrec.experiment.prepared import Prepared
from graphrec.models import Inputs, Model, model_of
from graphrec.models.config import ModelConfig
from graphrec.training import CheckpointPolicy, FitResult, fit


def build(config: ModelConfig, prepared: Prepared) -> Model:
    """Make a model; it is given the training part and nothing else of the split."""
    model_class = model_of(config.name)
    inputs = Inputs(
        train=prepared.split.train,
        rng=torch_stream(prepared.config.run.seed, "init"),
        features=prepared.features if model_class.uses_modalities else None,
        backend=prepared.backend,
        graphs=cache_folder("graphs"),
        user_features=prepared.user_features if model_class.uses_user_features else None,
    )
    require_memory(model_class.needs(config, inputs), prepared.config.run.memory_mb)
    # A model of your own may hold plain torch layers, which draw from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(prepared.config.run.seed, "init"))
        return model_class(config, inputs).to(prepared.device)


def fit_model(
    model: Model,
    prepared: Prepared,
    log: RunLog,
    checkpoint: CheckpointPolicy | None = None,
    watch: Callable[[float], None] | None = None,
    name: str | None = None,
) -> FitResult:
    """Solve or train; the epoch is chosen by the rule of the protocol.

    ``watch`` is told every score of the metric that chooses, and ends training if it raises. Each
    epoch is an event of the log as it ends, under ``name``, by default that of the run's model.
    """
    if model.closed_form:
        model.fit_exact()
        return FitResult(stopped="closed_form")
    protocol, parts = prepared.protocol, prepared.split
    truth, masked = parts.valid, protocol.masks("valid", parts.train, parts.valid)
    if protocol.selection == "best_test_epoch":
        truth = prepared.open_test("best_test_epoch: the epoch is chosen on test", log)
        masked = protocol.masks("test", parts.train, parts.valid)

    def validate(fitted: Model) -> Mapping[str, float]:
        metrics = _evaluate(fitted, prepared, truth, masked, (protocol.valid_metric,)).metrics
        if watch is not None:
            watch(metrics[protocol.valid_metric])
        return metrics

    return fit(
        model,
        parts.train,
        prepared.config.training,
        seed=prepared.config.run.seed,
        device=prepared.device,
        validate=None if protocol.selection == "last_epoch" else validate,
        metric=protocol.valid_metric,
        part="test" if protocol.selection == "best_test_epoch" else "valid",
        checkpoint=checkpoint,
        report=partial(log.epoch, prepared.config.model.name if name is None else name),
    )


def fit_baselines(prepared: Prepared, log: RunLog) -> dict[str, Model]:
    """Fit the baselines, with their default settings, on the same split."""
    models = {}
    for name in chosen_baselines(prepared.config, prepared.split.train, log):
        model = build(model_of(name).Config(name=name), prepared)
        fit_model(model, prepared, log, name=name)
        models[name] = model
    return models
