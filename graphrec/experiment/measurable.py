"""Refuse a split in which no user can be measured, and count users that are not measured."""

from collections.abc import Iterable

from graphrec.core.errors import ConfigError
from graphrec.data import Split
from graphrec.data.config import SplitConfig
from graphrec.data.splitting import MIN_INTERACTIONS
from graphrec.evaluation import Protocol
from graphrec.experiment.log import RunLog
from graphrec.models import Model

PLACES = {"valid": 1, "test": 2}
"""Index of a part in ``split.ratios``."""


def require_measurable(
    config: SplitConfig, protocol: Protocol, parts: Split, models: Iterable[type[Model]]
) -> None:
    """Refuse a split without a test part, or without a validation part that chooses an epoch.

    Raises:
        ConfigError: a part is empty; the message names the part, the reason and the remedy.
    """
    if not len(parts.test):
        raise ConfigError(
            f"No user has a test item, so nothing could be measured. {_why(config, parts, 'test')}"
        )
    trained = any(not model.closed_form for model in models)
    if protocol.selection == "valid" and trained and not len(parts.valid):
        raise ConfigError(
            f"evaluation.selection = 'valid' needs a validation part, and no user has a validation "
            f"item. {_why(config, parts, 'valid')} Or set evaluation.selection = 'last_epoch'."
        )


def _why(config: SplitConfig, parts: Split, part: str) -> str:
    """Return why a part of the split is empty, and the remedy."""
    if config.kind == "given":
        return f"The data give no {part} part: name its file or label, or choose a split.kind."
    if config.kind != "leave_one_out" and not config.ratios[PLACES[part]]:
        place = ("second", "third")[PLACES[part] - 1]
        return (
            f"split.ratios = {list(config.ratios)} gives the {part} part nothing: raise the "
            f"{place} number."
        )
    if config.kind != "temporal_global" and parts.train.user_degrees.max() < MIN_INTERACTIONS:
        return (
            f"Every user has fewer than {MIN_INTERACTIONS} interactions, which all stay in train: "
            f"use longer histories, or split.kind = 'temporal_global'."
        )
    return "All its users have nothing in train: set split.cold_users = 'keep' to rank for them."


def left_out(parts: Split) -> dict[str, int]:
    """Count the users that each part does not measure because they have no item in it.

    An empty part is not counted: it is meant to measure no user.
    """
    measured = {"valid": int((parts.valid.user_degrees > 0).sum()), "test": parts.test.num_users}
    return {part: parts.train.num_users - count for part, count in measured.items() if count}


def log_left_out(parts: Split, log: RunLog) -> None:
    """Log how many users are not measured."""
    num_users = parts.train.num_users
    for part, count in left_out(parts).items():
        if count:
            log.event(
                "left_out",
                f"{count:,} of {num_users:,} users have no {part} item and are left out of its "
                f"measurement",
                {"part": part, "users": count},
            )
