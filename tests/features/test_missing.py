"""Missing modalities from the configuration to the test part."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from graphrec import ConfigError, build_config, read_result, recommend, run
from graphrec.config.identity import experiment_identity
from graphrec.experiment.fit import build
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.features.missing import STRATEGIES
from graphrec.features.missing.config import MissingConfig
from graphrec.models import MODELS
from graphrec.training import read_checkpoint
from tests import flow
from tests.test_resume import Killed, same, stop_at_checkpoint

MODEL = "modality_attention_gcn"
TITLES = (
    "features.title.encoder=bow",
    'features.title.columns=["title"]',
    "features.title.min_df=1",
    "missing.rate=0.3",
)
FEW = {"gan": ("missing.steps=5",), "vae": ("missing.steps=5",)}


def settings(strategy: str, *more: str) -> tuple[str, ...]:
    return (*TITLES, f"missing.strategy={strategy}", *FEW.get(strategy, ()), *more)


@pytest.mark.parametrize("strategy", ["mask", "token", *STRATEGIES])
def test_a_run_with_each_strategy_ends_and_can_be_repeated(strategy: str, tmp_path: Path) -> None:
    folder = flow.finished(MODEL, *settings(strategy))
    result = read_result(folder)
    again = run(build_config(json.loads((folder / "config.json").read_text())), tmp_path)
    assert again.metrics == result.metrics
    assert again.fingerprints == result.fingerprints
    assert flow.untimed(again) == flow.untimed(result)
    events = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    told = [event for event in events if event["event"] == "missing"]
    assert [event["modality"] for event in told] == ["text", "title"]
    # 17 of the 18 items have a text, all a title; round(.3 * 17) = round(.3 * 18) = 5.
    assert [(each["removed"], each["missing"]) for each in told] == [(5, 6), (5, 5)]
    filled = [0, 0] if strategy == "mask" else [6, 5]
    assert [each["filled"] for each in told] == filled
    assert recommend(folder, users=["u01"], k=3)["item"].len() == 3


def test_every_strategy_has_its_own_fingerprint_and_numbers() -> None:
    folders = [flow.finished(MODEL, *settings(name)) for name in ("mask", "token", *STRATEGIES)]
    results = [read_result(folder) for folder in folders]
    assert len({each.fingerprints["features"] for each in results}) == 7
    assert len({json.dumps(flow.untimed(each)) for each in results}) == 7
    assert len({each.fingerprints["split"] for each in results}) == 1


def test_the_removal_goes_by_its_own_seed_and_not_by_that_of_the_run() -> None:
    def features(*overrides: str) -> str:
        config = flow.config_of(flow.data(), MODEL, settings("mask", *overrides))
        return prepare(config, RunLog()).features.fingerprint

    assert features() == features("run.seed=5") != features("missing.seed=5")


def test_a_whole_modality_is_without_for_the_share_of_all_items() -> None:
    more = ("missing.mechanism=modality", 'missing.modalities=["text"]')
    config = flow.config_of(flow.data(), MODEL, settings("mask", *more))
    features = prepare(config, RunLog()).features
    assert (~features["text"].present).sum() == round(0.3 * 18)
    assert features["title"].present.all()


def test_the_least_popular_items_of_the_training_part_lose_it() -> None:
    config = flow.config_of(flow.data(), MODEL, settings("mask", "missing.mechanism=popularity"))
    prepared = prepare(config, RunLog())
    lost = ~prepared.features["title"].present
    degrees = prepared.split.train.item_degrees
    assert degrees[lost].max() <= degrees[~lost].min()


@pytest.mark.parametrize("strategy", ["token", *STRATEGIES])
def test_another_test_part_changes_no_filled_row(strategy: str, tmp_path: Path) -> None:
    prepared = [
        prepare(
            build_config(
                flow.given_table(tmp_path / str(seed), MODEL, seed),
                settings(strategy, "missing.mechanism=popularity"),
            ),
            RunLog(),
        )
        for seed in (0, 1)
    ]
    one, two = (each.fingerprints for each in prepared)
    assert one["features"] == two["features"]
    assert one["split"] != two["split"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_stopped_run_with_a_token_equals_a_whole_one(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flow.finished(MODEL, *settings("token"))
    config = flow.config_of(flow.data(), MODEL, settings("token"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "graphrec.training.resume.write_checkpoint", stop_at_checkpoint(number, after=True)
        )
        with pytest.raises(Killed):
            run(config, tmp_path)
    saved = read_checkpoint(tmp_path / "checkpoint.safetensors").group("model")
    assert {"content.rows.0.token", "content.rows.1.token"} <= saved.keys()
    run(config, tmp_path, resume=True)
    same(tmp_path, whole)
    best = read_checkpoint(whole / "checkpoint.safetensors").group("best")
    start = build(config.model, prepare(config, RunLog())).state_dict()
    for name in ("content.rows.0.token", "content.rows.1.token"):
        assert not np.array_equal(best[name].numpy(), start[name].numpy())


def test_a_configuration_without_the_table_keeps_its_hash() -> None:
    config = flow.config_of(flow.data(), MODEL)
    spelled_out = flow.config_of(flow.data(), MODEL, ["missing.rate=0", "missing.strategy=mask"])
    assert experiment_identity(config) == experiment_identity(spelled_out)
    assert "missing" not in config.model_dump(exclude_defaults=True)


# What is refused.


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rate": 1.0}, "less than 1"),
        ({"rate": -0.1}, "greater than or equal to 0"),
        ({"rate": 0.2, "seed": -1}, "greater than or equal to 0"),
        ({"rate": 0.2, "modalities": ()}, "at least 1 item"),
        ({"strategy": "zero"}, "'mask', 'mean'"),
        ({"mechanism": "popularity"}, r"mechanism has no effect while rate = 0\.0"),
        ({"mechanism": "popularity", "strategy": "mean"}, "mechanism has no effect"),
        ({"modalities": ("text",)}, "modalities has no effect while rate = 0.0 and .*'mask'"),
        ({"seed": 3}, "seed has no effect"),
        ({"seed": 3, "strategy": "regression"}, "seed has no effect"),
        ({"hidden": 8, "strategy": "regression"}, "hidden has no effect"),
        ({"steps": 8, "rate": 0.3}, "steps has no effect"),
        ({"rate": 0.3, "mechanism": "modality"}, r"needs modalities = \[the one"),
        ({"rate": 0.3, "mechanism": "modality", "modalities": ("a", "b")}, "needs modalities"),
    ],
)
def test_settings_that_are_wrong_or_would_be_ignored_are_refused(
    table: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        MissingConfig.model_validate(table)


@pytest.mark.parametrize(
    "table",
    [
        {"seed": 3, "strategy": "vae", "steps": 8, "hidden": 8},
        {"strategy": "mean", "modalities": ("text",)},
        {"strategy": "regression"},
        {"rate": 0.3, "seed": 3, "mechanism": "modality", "modalities": ("text",)},
    ],
)
def test_settings_with_an_effect_are_accepted(table: dict[str, object]) -> None:
    assert MissingConfig.model_validate(table).active


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["missing.rate=0.3", 'missing.modalities=["txt"]'], r"'txt'.*Did you mean 'text'\?"),
        (["missing.strategy=regression"], "fills a modality from another one"),
        (["missing.strategy=gan"], "fills a modality from another one"),
        (["missing.strategy=vae"], "fills a modality from another one"),
    ],
)
def test_a_table_that_does_not_fit_the_features_is_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        flow.config_of(flow.data(), MODEL, overrides)


@pytest.mark.parametrize("override", ["missing.rate=0.3", "missing.strategy=mean"])
def test_a_model_without_features_refuses_a_table_with_an_effect(override: str) -> None:
    assert not flow.config_of(flow.data(), "mf").missing.active
    with pytest.raises(ConfigError, match=r"there is no \[features.NAME\].*remove \[missing\]"):
        flow.config_of(flow.data(), "mf", [override])


def test_a_model_or_baseline_that_takes_rows_as_they_are_refuses_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    baseline = ["evaluation.baselines=['modality_attention_gcn', 'mf']"]
    config = flow.config_of(flow.data(), MODEL, settings("token", *baseline))
    prepare(config, RunLog())
    monkeypatch.setattr(MODELS[MODEL], "trains_encoders", False)
    with pytest.raises(ConfigError, match=f"'token' is a row that learns, and model '{MODEL}'"):
        prepare(config, RunLog())
    prepare(flow.config_of(flow.data(), MODEL, settings("mean")), RunLog())


def test_a_modality_that_is_no_matrix_is_refused_with_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    others = np.array([rng.choice(17, 3, replace=False) for _ in range(18)], np.int32)
    np.savez(tmp_path / "lists.npz", x_nbr=others, x_cos=rng.random((18, 3)).astype(np.float32))
    ids = "\n".join(["item\trow", *(f"i{item:02}\t{item}" for item in range(18))])
    (tmp_path / "ids.tsv").write_text(ids + "\n")
    lists = (
        "features.near.encoder=neighbours",
        f"features.near.path={tmp_path / 'lists.npz'}",
        f"features.near.ids={tmp_path / 'ids.tsv'}",
        "features.near.array=x",
        "model.item_layers=1",
        "model.knn_k=2",
    )
    config = flow.config_of(flow.data(), MODEL, settings("mean", *lists))
    with pytest.raises(ConfigError, match=r"\[missing\] cannot act on \[features.near\]: it holds"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    named = 'missing.modalities=["text", "title"]'
    run(flow.config_of(flow.data(), MODEL, settings("mean", *lists, named)), tmp_path / "out")
