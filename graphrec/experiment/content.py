"""The modalities of one experiment: encoded, then changed as [controls] and [missing] say."""

from collections.abc import Mapping

from graphrec.config import RunConfig
from graphrec.data import Dataset, Features, Interactions, Modality
from graphrec.experiment.log import RunLog
from graphrec.features import encode
from graphrec.features.config import FeatureConfig, Side
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.controls import controlled
from graphrec.features.missing import remove_and_fill

Encoded = tuple[FeatureConfig, Modality]
"""A modality as it was encoded, and the settings by which it was."""


def encode_items(
    config: RunConfig,
    dataset: Dataset,
    train: Interactions,
    known: Mapping[str, Encoded],
    log: RunLog,
) -> dict[str, Encoded]:
    """Encode the modalities of items that are not known yet; the others stay known."""
    fresh = {
        name: settings
        for name, settings in config.features.items()
        if name not in known or known[name][0] != settings
    }
    on_device = {name: _on_device(settings, config.run.device) for name, settings in fresh.items()}
    features = encode(dataset, on_device, train)
    _log_features(log, "Features", features, "items")
    return {**known, **{name: (fresh[name], modality) for name, modality in features.items()}}


def _on_device(settings: FeatureConfig, device: str) -> FeatureConfig:
    """Return the settings of an encoder, at the run's device unless they name one."""
    if isinstance(settings, PretrainedConfig) and settings.device == "auto":
        return settings.model_copy(update={"device": device})
    return settings


def encode_users(config: RunConfig, dataset: Dataset, train: Interactions, log: RunLog) -> Features:
    """Encode the modalities of users."""
    users = encode(dataset, config.user_features, train, side="users")
    _log_features(log, "User features", users, "users")
    return users


def change_content(
    config: RunConfig,
    encoded: Mapping[str, Encoded],
    dataset: Dataset,
    train: Interactions,
    log: RunLog,
) -> Features:
    """Apply ``[controls]``, then remove and fill what ``[missing]`` says."""
    chosen = {name: encoded[name][1] for name in config.features}
    features = Features(chosen, len(dataset.item_ids))
    features = controlled(features, config.controls, config.run.seed)
    features, changes = remove_and_fill(features, train, config.missing)
    for change in changes:
        log.event("missing", str(change), change.details)
    return features


def _log_features(log: RunLog, title: str, features: Features, side: Side) -> None:
    for name, modality in features.items():
        found, count = int(modality.present.sum()), len(modality.present)
        width = modality.values.shape[1]
        log.event("features", f"{title} {name}: {width} wide, {found:,} of {count:,} {side}")
