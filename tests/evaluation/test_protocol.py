"""Presets hold the conventions of each community; fingerprints tell them apart."""

import numpy as np
import pytest

from graphrec.core.errors import ConfigError
from graphrec.data import Interactions
from graphrec.evaluation import PRESETS, EvaluationConfig, Protocol, protocol_of
from graphrec.evaluation import conventions as module


def part() -> Interactions:
    empty = np.array([], dtype=np.int32)
    return Interactions(empty, empty, num_users=1, num_items=1)


@pytest.mark.parametrize(
    ("preset", "at_test", "ideal", "selection", "metric"),
    [
        ("graphrec", ("train", "valid"), "relevant", "valid", "ndcg@20"),
        ("ngcf", ("train",), "relevant", "best_test_epoch", "recall@20"),
        ("mmrec", ("train",), "relevant", "valid", "recall@20"),
        ("recbole", ("train", "valid"), "relevant", "valid", "mrr@10"),
        ("lattice", ("train",), "retrieved", "valid", "recall@20"),
    ],
)
def test_preset_has_its_conventions(
    preset: str, at_test: tuple[str, ...], ideal: str, selection: str, metric: str
) -> None:
    protocol = PRESETS[preset]
    assert protocol.name == preset
    assert protocol.mask_at_valid == ("train",)
    assert protocol.mask_at_test == at_test
    assert protocol.ndcg_ideal == ideal
    assert protocol.selection == selection
    assert protocol.valid_metric == metric
    assert protocol.recall_denominator == "relevant"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_valid_configuration(preset: str) -> None:
    assert protocol_of(EvaluationConfig(protocol=preset)) == PRESETS[preset]


def test_masks_are_the_parts_that_the_protocol_names() -> None:
    train, valid = part(), part()
    assert PRESETS["graphrec"].masks("valid", train, valid) == (train,)
    assert PRESETS["graphrec"].masks("test", train, valid) == (train, valid)
    assert PRESETS["mmrec"].masks("test", train, valid) == (train,)


def test_fingerprint_ignores_only_the_name() -> None:
    base = Protocol(name="base")
    assert base.fingerprint == Protocol(name="other").fingerprint
    changes: dict[str, object] = {
        "mask_at_valid": (),
        "mask_at_test": (),
        "recall_denominator": "min_relevant_k",
        "ndcg_ideal": "retrieved",
        "selection": "last_epoch",
        "valid_metric": "map@5",
    }
    single_valued = {"name", "ties", "users"}
    assert set(changes) | single_valued == set(Protocol.model_fields)
    changed = {base.model_copy(update={key: value}).fingerprint for key, value in changes.items()}
    assert len(changed | {base.fingerprint}) == len(changes) + 1


def test_fingerprint_changes_with_the_version_of_the_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = PRESETS["graphrec"].fingerprint
    monkeypatch.setattr(module, "METRICS_VERSION", module.METRICS_VERSION + 1)
    assert PRESETS["graphrec"].fingerprint != before


def test_overrides_replace_the_rule_of_the_preset_and_change_the_fingerprint() -> None:
    config = EvaluationConfig(protocol="ngcf", selection="valid", valid_metric="map@5")
    protocol = protocol_of(config)
    assert (protocol.selection, protocol.valid_metric) == ("valid", "map@5")
    assert protocol.mask_at_test == ("train",)
    assert protocol.fingerprint != PRESETS["ngcf"].fingerprint


def test_own_protocol_can_be_named_by_its_import_path() -> None:
    config = EvaluationConfig(protocol=f"{__name__}:OWN")
    assert protocol_of(config) == OWN


OWN = Protocol(name="own", mask_at_test=())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "mmrek"}, "Unknown protocol 'mmrek'. Did you mean 'mmrec'"),
        ({"protocol": "math:pi"}, "'math:pi' is not a Protocol"),
        ({"valid_metric": "recal@20"}, "Unknown metric 'recal@20'. Did you mean 'recall'"),
        ({"valid_metric": "recall"}, "'recall' has no cut-off. Write it like 'recall@20'"),
        ({"valid_metric": "gini@20"}, "'gini@20' cannot choose an epoch"),
    ],
)
def test_bad_setting_names_the_culprit(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        protocol_of(EvaluationConfig.model_validate(settings))


def test_a_protocol_of_your_own_needs_no_name() -> None:
    own = Protocol()
    assert own.name == "custom"
    assert own.fingerprint == PRESETS["graphrec"].fingerprint
