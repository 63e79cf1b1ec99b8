"""Load, split and encode the data of an experiment."""

from dataclasses import replace

from graphrec.config import RunConfig
from graphrec.core.config import Json
from graphrec.core.device import device_of
from graphrec.core.environment import environment
from graphrec.data import load, split
from graphrec.evaluation import protocol_of
from graphrec.experiment import checks
from graphrec.experiment.content import change_content, encode_items, encode_users
from graphrec.experiment.log import RunLog
from graphrec.experiment.measurable import log_left_out, require_measurable
from graphrec.experiment.prepared import Prepared
from graphrec.models import model_of


def prepare(config: RunConfig, log: RunLog) -> Prepared:
    """Load, split and encode.

    Raises:
        ConfigError: settings contradict each other, the data or the machine.
        DataError: the data do not hold what the configuration says.
    """
    started_in = environment()
    device = device_of(config.run.device)
    protocol = protocol_of(config.evaluation)
    names = (config.model.name, *(config.evaluation.baselines or ()))
    models = {name: model_of(name) for name in names}
    checks.require_readers(config, models[config.model.name])
    checks.require_token_readers(config, models)
    with log.stage("load"):
        dataset = load(config.data)
        log.steps(dataset.steps)
        log.weights(dataset, config.model)
    with log.stage("split"):
        parts = split(dataset, config.split)
        log.steps(parts.steps)
        sizes = f"{len(parts.train):,} / {len(parts.valid):,} / {len(parts.test):,}"
        found: dict[str, Json] = {"dataset": dataset.fingerprint, "split": parts.fingerprint}
        message = f"Split {parts.rule}: {sizes} train / valid / test"
        log.event("split", message, {"fingerprints": found})
    require_measurable(config.split, protocol, parts, models.values())
    checks.require_cut_offs(config, protocol, len(dataset.item_ids))
    checks.require_room(config, models, parts.train)
    log_left_out(parts, log)
    with log.stage("encode"):
        encoded = encode_items(config, dataset, parts.train, {}, log)
        features = change_content(config, encoded, dataset, parts.train, log)
        users = encode_users(config, dataset, parts.train, log)
    return Prepared(config, dataset, parts, encoded, features, users, protocol, device, started_in)


def with_settings(prepared: Prepared, config: RunConfig, log: RunLog) -> Prepared:
    """Return the same data under other settings; only changed content is encoded anew.

    Raises:
        ConfigError: the settings are of other data, another split or protocol, or the content is
            not what they need.
    """
    checks.require_same_task(prepared.config, config)
    before, data, train = prepared.config, prepared.dataset, prepared.split.train
    if _what_content_follows_from(config) != _what_content_follows_from(before):
        encoded = encode_items(config, data, train, prepared.encoded, log)
        features = change_content(config, encoded, data, train, log)
        prepared = replace(prepared, encoded=encoded, features=features)
    if config.user_features != before.user_features:
        users = encode_users(config, data, train, log)
        prepared = replace(prepared, user_features=users)
    return replace(prepared, config=config)


def _what_content_follows_from(config: RunConfig) -> tuple[object, ...]:
    seed = config.run.seed if config.controls else None
    return config.features, config.controls, config.missing, seed
