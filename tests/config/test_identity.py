"""One experiment has one identity on every machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from graphrec import RunConfig, build_config
from graphrec.config.identity import experiment_identity, experiment_settings
from graphrec.core.config import Config
from tests import flow

IMAGES = ("features.image.encoder=local:/a/net", "features.image.images=/a/{item}.png")


def mf(*overrides: str, folder: str = "x") -> RunConfig:
    return flow.config_of(Path(folder), "mf", overrides)


def flagship(*overrides: str) -> RunConfig:
    return flow.config_of(Path("x"), overrides=overrides)


@pytest.mark.parametrize(
    "override",
    [
        "model.dim=9",
        "run.seed=1",
        "run.backend=torch",
        "training.lr=0.5",
        "training.max_epochs=5",
        "split.seed=1",
        "data.clean.k_core=2",
        "evaluation.baselines=['popular']",
    ],
)
def test_it_changes_with_every_setting_that_a_number_depends_on(override: str) -> None:
    assert experiment_identity(mf()) != experiment_identity(mf(override))


@pytest.mark.parametrize(
    "override",
    [
        "run.name=another label",
        "run.device=auto",
        "evaluation.memory_mb=1",
        "training.checkpoint_every=3",
        "data.path=/elsewhere/ratings.csv",
        "data.items=/elsewhere/items.csv",
        "tune.trials=7",
        "search={'training.lr' = {low = 1e-4, high = 1e-1}}",
    ],
)
def test_place_machine_label_and_search_do_not_change_it(override: str) -> None:
    """Two machines that ran one experiment had two hashes."""
    assert experiment_identity(mf()) == experiment_identity(mf(override))


@pytest.mark.parametrize(
    "override",
    [
        "features.image.encoder=local:/b/net",
        "features.image.images=/b/{item}.jpg",
        "features.image.images={data}/images/{item}.png",
        "features.image.store=/b/store",
        "features.image.device=cpu",
        "features.image.memory_mb=1",
        "features.image.workers=1",
        "features.image.strict=true",
    ],
)
def test_place_and_machine_of_features_do_not_change_it(override: str) -> None:
    first, second = flagship(*IMAGES), flagship(*IMAGES, override)
    assert first != second
    assert experiment_identity(first) == experiment_identity(second)


def test_a_path_that_is_given_differs_from_none() -> None:
    without = flow.table_of(Path("x"), "popular")
    data = without["data"]
    assert isinstance(data, dict)
    table = without | {"data": {k: v for k, v in data.items() if not k.startswith("item")}}
    table["data"]["item"] = "what"
    more = table | {"data": table["data"] | {"items": "x/items.csv", "items_id": "item"}}
    assert experiment_identity(build_config(table)) != experiment_identity(build_config(more))


def test_the_encoder_counts_although_it_is_the_default_of_its_table() -> None:
    """Two encoders with the same other settings had one hash."""
    first, second = (
        flagship(f"features.sound.encoder={name}", "features.sound.audio=/a/{item}.wav")
        for name in ("logmel", "cnn_lstm")
    )
    assert experiment_identity(first) != experiment_identity(second)


def test_the_order_of_keys_does_not_change_it() -> None:
    table = flow.table_of(Path("x"), "mf")
    turned = dict(reversed(table.items()))
    assert experiment_identity(build_config(turned)) == experiment_identity(build_config(table))


def test_a_search_is_the_same_with_another_budget_and_another_with_another_space() -> None:
    span = "search={'training.lr' = {low = 1e-4, high = 1e-1}}"
    first = experiment_identity(mf(span), searched=True)
    assert first == experiment_identity(mf(span, "tune.trials=3", "tune.seconds=9"), searched=True)
    others = (mf(span, "tune.sampler=random"), mf("search={'training.lr' = [0.1, 0.2]}"), mf())
    assert first not in {experiment_identity(each, searched=True) for each in others}


def test_settings_are_told_without_those_at_their_default() -> None:
    assert experiment_settings(mf("training.patience=20"))["training"] == {
        "lr": 0.02,
        "batch_size": 32,
        "max_epochs": 4,
    }


class Table(Config):
    former_defaults: ClassVar[Mapping[str, object]] = {"depth": 2}

    depth: int = 3
    width: int = 8


def test_a_default_that_changed_makes_another_experiment() -> None:
    """Under the first default nothing is said, so that old records keep their identity."""
    assert Table(depth=2).identity() == {}
    assert Table().identity() == {"depth": 3}
