"""Refuse, before work begins, settings that contradict the model or the machine."""

from collections.abc import Mapping
from itertools import chain

import torch

from graphrec.config import RunConfig
from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import require_memory
from graphrec.data import Interactions
from graphrec.evaluation import Protocol, parse_metric, protocol_of
from graphrec.evaluation.metrics import expand
from graphrec.evaluation.ranking import ranking_need
from graphrec.experiment.result import require_measured
from graphrec.features.content.config import PretrainedConfig
from graphrec.models import MODELS, EmbeddingModel, Inputs, Model


def require_readers(config: RunConfig, model_class: type[Model]) -> None:
    """Refuse features that the model would ignore, and a teacher that it cannot use."""
    _require_student(config, model_class)
    if config.features and not model_class.uses_modalities:
        raise ConfigError(
            f"Model {config.model.name!r} reads no features, but the configuration has "
            f"[features.{next(iter(config.features))}]. Remove the table or choose a model that "
            f"uses modalities."
        )
    if config.user_features and not model_class.uses_user_features:
        readers = ", ".join(name for name, model in MODELS.items() if model.uses_user_features)
        raise ConfigError(
            f"Model {config.model.name!r} reads no features of users, but the configuration has "
            f"[user_features.{next(iter(config.user_features))}]. Remove the table or choose a "
            f"model that reads them: {readers}."
        )
    for name, settings in config.features.items():
        tuned = isinstance(settings, PretrainedConfig) and settings.fine_tune != "none"
        if tuned and not model_class.trains_encoders:
            raise ConfigError(
                f"[features.{name}] fine_tune: model {config.model.name!r} does not train "
                f"encoders. Remove fine_tune or choose another model."
            )


def require_token_readers(config: RunConfig, models: Mapping[str, type[Model]]) -> None:
    """Refuse a learned row with a model that would read its constant stand-in."""
    for name, model in models.items():
        fixed = model.uses_modalities and not model.trains_encoders
        if config.missing.strategy == "token" and fixed:
            raise ConfigError(
                f"missing.strategy = 'token' is a row that learns, and model {name!r} takes rows "
                f"as they are. Use another strategy or another model."
            )


def _require_student(config: RunConfig, model_class: type[Model]) -> None:
    if config.distill.teacher is None or issubclass(model_class, EmbeddingModel):
        return
    why = "is solved in closed form" if model_class.closed_form else "has another kind of loss"
    known = ", ".join(name for name, model in MODELS.items() if issubclass(model, EmbeddingModel))
    raise ConfigError(
        f"distill.teacher: model {config.model.name!r} {why} and cannot be taught. Remove "
        f"[distill] or choose a model that learns embeddings: {known}."
    )


def require_no_teacher(config: RunConfig, command: str) -> None:
    """Refuse a teacher where models are trained in series, all of them without one."""
    if config.distill.teacher is not None:
        raise ConfigError(
            f"graphrec {command} trains without a teacher. Remove [distill]; teach what comes out "
            f"of it with graphrec distill."
        )


def require_same_task(before: RunConfig, config: RunConfig) -> None:
    """Refuse settings for which other data would have to be loaded, split or ranked.

    Raises:
        ConfigError: data, split or protocol differ; the message names the tables.
    """
    tables = {
        "[data]": config.data == before.data,
        "[split]": config.split == before.split,
        "the protocol of [evaluation]": protocol_of(config.evaluation)
        == protocol_of(before.evaluation),
    }
    different = [name for name, same in tables.items() if not same]
    if different:
        raise ConfigError(
            f"What has been prepared cannot be used under other settings of "
            f"{' and '.join(different)}. Prepare that experiment by itself."
        )


def require_cut_offs(config: RunConfig, protocol: Protocol, num_items: int) -> None:
    """Refuse lists longer than the catalogue, and published metrics that are not measured."""
    require_measured(config.published, expand(config.evaluation.metrics, config.evaluation.top_k))
    lengths = {"run.recommend_k": config.run.recommend_k}
    lengths |= {"evaluation.top_k": max(config.evaluation.top_k)}
    named = {f"evaluation.metrics {name!r}": name for name in config.evaluation.metrics}
    named["evaluation.valid_metric"] = protocol.valid_metric
    lengths |= {key: parse_metric(name)[1] or 1 for key, name in named.items()}
    for key, length in lengths.items():
        if length > num_items:
            raise ConfigError(
                f"{key} asks for the best {length} items, but the catalogue has {num_items}. "
                f"Lower it."
            )


def require_room(config: RunConfig, models: Mapping[str, type[Model]], train: Interactions) -> None:
    """Refuse a dense step of the model or a baseline that does not fit into memory.

    Raises:
        ConfigError: a step does not fit; the message names the need, the limit and the remedy.
    """
    inputs = Inputs(train, torch.Generator())
    settings = {name: model.Config(name=name) for name, model in models.items()}
    settings[config.model.name] = config.model
    needs = (models[name].needs(model_config, inputs) for name, model_config in settings.items())
    lengths = (*config.evaluation.top_k, config.run.recommend_k)
    blocks = ranking_need(train, max(lengths), config.evaluation.memory_mb * 2**20)
    require_memory((blocks, *chain.from_iterable(needs)), config.run.memory_mb)
