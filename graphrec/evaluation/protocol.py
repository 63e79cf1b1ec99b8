"""List the named conventions; a table may hold only numbers with one protocol fingerprint."""

from collections.abc import Mapping

from graphrec.core.errors import ConfigError
from graphrec.core.names import resolve
from graphrec.evaluation.config import EvaluationConfig
from graphrec.evaluation.conventions import Protocol
from graphrec.evaluation.metrics import METRICS, parse_metric

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
"""Conventions by name, with their sources:

    graphrec  every held-out part is masked where it is not measured; the epoch is chosen on valid
    ngcf      wang2019ngcf, he2020lightgcn and zhu2022bars: no valid part, the best epoch on test
    mmrec     zhou2023mmrec: items of valid stay candidates of their user on test
    recbole   RecBole and RecBole-GNN
    lattice   zhang2021lattice and wei2023mmssl: as mmrec, with the NDCG of retrieved hits

Deviations: equal scores are ordered by item id, where the codes leave their order to a library.
MMRec compares validation scores rounded to four digits; here any digit makes an epoch better. The
interval of evaluation and the end of training are settings of ``[training]`` and in no preset:
LightGCN evaluates every 10 epochs, LATTICE every 5; MMRec stops at the 21st evaluation in a row
without a better one (``patience = 21``).
"""


def protocol_of(config: EvaluationConfig) -> Protocol:
    """Return the preset, with the selection and validation metric that the configuration replaces.

    Raises:
        ConfigError: the preset is unknown, or the validation metric is unknown, lacks its cut-off
            or is a metric of which more is not better.
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
