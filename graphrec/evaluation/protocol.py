"""The conventions behind a number; only numbers with one fingerprint may stand in one table."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, TypeAlias

from graphrec.config import Config, EvaluationConfig
from graphrec.datasets.interactions import Interactions
from graphrec.errors import ConfigError
from graphrec.evaluation.metrics import METRICS, METRICS_VERSION, parse_metric
from graphrec.names import resolve

Masks: TypeAlias = tuple[Literal["train", "valid"], ...]


class Protocol(Config):
    """How lists are made, what a metric divides by, who is averaged and which epoch is reported."""

    name: str = "custom"
    """Name of the preset; not part of the fingerprint."""
    mask_at_valid: Masks = ("train",)
    """Parts whose items are not candidates of their user while validating."""
    mask_at_test: Masks = ("train", "valid")
    """Parts whose items are not candidates of their user while testing."""
    recall_denominator: Literal["relevant", "min_relevant_k"] = "relevant"
    """Recall divides hits by |T_u|, or by min(|T_u|, k) so that 1 can be reached at every k."""
    ndcg_ideal: Literal["relevant", "retrieved"] = "relevant"
    """The ideal list holds min(|T_u|, k) hits, or only the hits retrieved in the top k. The second
    one forgives every missed item and so inflates NDCG; it is here to compare with such papers
    (whose code counts hits down to its longest cut-off: compare at that one)."""
    ties: Literal["lowest_item_id"] = "lowest_item_id"
    """Items with equal scores are ranked by ascending item id."""
    users: Literal["with_relevant_items"] = "with_relevant_items"
    """Users averaged: those with at least one relevant item in the measured part."""
    selection: Literal["valid", "last_epoch", "best_test_epoch"] = "valid"
    """Epoch reported: the best on valid, the last, or the best on test, which is optimistic."""
    valid_metric: str = "ndcg@20"
    """Metric of early stopping and of the choice of the epoch."""

    @property
    def fingerprint(self) -> str:
        """sha256 of every convention except the name, and of the version of the metrics."""
        canonical = json.dumps(self.model_dump(mode="json", exclude={"name"}), sort_keys=True)
        return hashlib.sha256(f"{METRICS_VERSION}/{canonical}".encode()).hexdigest()

    def masks(
        self, stage: Literal["valid", "test"], train: Interactions, valid: Interactions
    ) -> tuple[Interactions, ...]:
        """Return the parts whose items are no candidates at this stage."""
        parts = {"train": train, "valid": valid}
        names = self.mask_at_valid if stage == "valid" else self.mask_at_test
        return tuple(parts[name] for name in names)


PRESETS: dict[str, Protocol] = {
    "graphrec": Protocol(name="graphrec"),
    "ngcf": Protocol(
        name="ngcf",
        mask_at_test=("train",),
        selection="best_test_epoch",
        valid_metric="recall@20",
    ),
    "mmrec": Protocol(name="mmrec", mask_at_test=("train",), valid_metric="recall@20"),
    "recbole": Protocol(name="recbole", valid_metric="mrr@10"),
    "lattice": Protocol(
        name="lattice",
        mask_at_test=("train",),
        ndcg_ideal="retrieved",
        valid_metric="recall@20",
    ),
}
"""Conventions by name, and what each stands for:

    graphrec  every held-out part is masked where it is not measured; the epoch is chosen on valid
    ngcf      wang2019ngcf, he2020lightgcn and zhu2022bars: no valid part, the best epoch on test
    mmrec     zhou2023mmrec: items of valid stay candidates of their user on test
    recbole   RecBole and RecBole-GNN
    lattice   zhang2021lattice and wei2023mmssl: as mmrec, with the NDCG of retrieved hits

Deviations: equal scores are ordered by item id, where the codes leave their order to a library.
MMRec compares scores of valid rounded to four digits; here an epoch is better by any digit. How
often is evaluated and when training stops are settings of ``[training]`` and in no preset: LightGCN
evaluates every 10 epochs, LATTICE every 5; MMRec stops at the 21st evaluation in a row without a
better one (``patience = 21``).
"""


def protocol_of(config: EvaluationConfig) -> Protocol:
    """Return the preset with the selection and validation metric that the configuration replaces.

    Raises:
        ConfigError: the preset is unknown, or the validation metric is unknown, lacks its cut-off
            or is not one of which more is better.
    """
    table: Mapping[str, object] = PRESETS
    preset = resolve(config.protocol, table, "protocol")
    if not isinstance(preset, Protocol):
        raise ConfigError(f"evaluation.protocol = {config.protocol!r} is not a Protocol.")
    metric = config.valid_metric or preset.valid_metric
    name, k = parse_metric(metric)
    if METRICS[name].takes_k and k is None:
        raise ConfigError(
            f"evaluation.valid_metric = {metric!r} has no cut-off. Write it like '{name}@20'."
        )
    if not METRICS[name].higher_is_better:
        raise ConfigError(
            f"evaluation.valid_metric = {metric!r} cannot choose an epoch: more of it is not "
            f"better. Use an accuracy metric such as 'ndcg@20'."
        )
    selection = config.selection or preset.selection
    return preset.model_copy(update={"selection": selection, "valid_metric": metric})
