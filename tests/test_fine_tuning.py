"""An encoder trained with the recommender, from pictures on disk to the test part."""

from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec import ConfigError, build_config, read_result, recommend, run
from graphrec.core.config import Json
from graphrec.data import planted_pictures
from graphrec.experiment.fit import build
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.models import MODELS
from graphrec.training import read_checkpoint
from tests.features import tiny
from tests.test_resume import Killed, same, stop_at_checkpoint

PLAIN: dict[str, Json] = {"temperature": 1.0, "normalize": False, "init_std": 0.1}
"""Inner products: compared is content that learns with content that does not, not defaults."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """Users who go by the shape or the texture that pictures show; nothing else tells items apart.

    Without message passing and free embeddings a model knows items by their pictures only.
    """
    folder = tmp_path_factory.mktemp("planted")
    truth = planted_pictures(0, 400, 60, folder, per_user=12)
    pairs = pl.read_csv(folder / "interactions.csv")
    by_picture = [
        user for user, factor in enumerate(truth.user_factor) if factor in "shape texture"
    ]
    pairs.filter(pl.col("user").is_in(by_picture)).write_csv(folder / "interactions.csv")
    data = truth.data.model_dump(mode="json", exclude_unset=True) | {"num_users": None}
    looks: dict[str, Json] = {
        "encoder": f"local:{tiny.save_resnet(folder / 'net')}",
        "images": "{data}/pictures/{item}.png",
        "store": str(folder / "store"),
    }
    return {
        "data": data,
        "split": {"kind": "random"},
        "features": {"looks": looks},
        "model": {
            "name": "modality_attention_gcn",
            "use_id": False,
            "num_layers": 0,
            "dim": 16,
            "loss": "softmax",
            **PLAIN,
            "closed_form": "none",  # what the encoder learns shows in learned scores
        },
        "training": {"lr": 0.02, "batch_size": 256, "num_negatives": 8, "max_epochs": 12},
        "evaluation": {"valid_metric": "ndcg@20"},
        "run": {"device": "cpu"},
    }


TUNED = ("features.looks.fine_tune=all", "features.looks.fine_tune_lr_scale=0.5")


def test_the_weights_move_and_valid_improves(table: dict[str, Json], tmp_path: Path) -> None:
    scores = {}
    for name, overrides in (("frozen", ()), ("tuned", TUNED)):
        result = run(build_config(table, overrides), tmp_path / name)
        scores[name] = max(record["valid/ndcg@20"] for record in result.history)
    assert scores["tuned"] > 1.2 * scores["frozen"]
    weights = read_checkpoint(tmp_path / "tuned" / "checkpoint.safetensors").group("best")
    found = {name.rpartition("/")[0] for name in weights if name.startswith("content.rows.")}
    prepared = prepare(build_config(table, TUNED), RunLog())
    fresh = build(prepared.config.model, prepared).state_dict()
    moved = {name for name in fresh if not torch.equal(fresh[name], weights[name])}
    assert (
        {name.rpartition("/")[0] for name in moved if name.startswith("content.rows.")}
        == found
        != set()
    )


@pytest.mark.parametrize(("overrides", "scale"), [(TUNED, 0.5), (TUNED[:1], 0.1)])
def test_fine_tune_lr_scales_the_learning_rate_of_the_encoder(
    table: dict[str, Json], overrides: tuple[str, ...], scale: float
) -> None:
    prepared = prepare(build_config(table, overrides), RunLog())
    model = build(prepared.config.model, prepared)
    rest, encoder = model.parameter_groups()
    assert (rest.lr_scale, encoder.lr_scale) == (1.0, scale)
    ids = {id(weight) for weight in encoder.parameters}
    trained = {name for name, weight in model.named_parameters() if id(weight) in ids}
    assert trained
    assert all(name.startswith("content.rows.") for name in trained)
    assert not ids & {id(weight) for weight in rest.parameters}


def test_a_network_over_spectrograms_learns_from_tones(tmp_path: Path) -> None:
    """Users go by the pitch, which the tones alone show."""
    truth = planted_pictures(0, 300, 40, tmp_path / "data", per_user=8)
    pairs = pl.read_csv(tmp_path / "data" / "interactions.csv")
    by_pitch = [user for user, factor in enumerate(truth.user_factor) if factor == "pitch"]
    kept = pairs.filter(pl.col("user").is_in(by_pitch))
    kept.write_csv(tmp_path / "data" / "interactions.csv")
    sound: dict[str, Json] = {
        "encoder": "cnn_lstm",
        "audio": "{data}/tones/{item}.wav",
        "store": str(tmp_path / "store"),
        "dim": 8,
        "num_mels": 16,
        "hop_ms": 25.0,
    }
    table: dict[str, Json] = {
        "data": truth.data.model_dump(mode="json", exclude_unset=True) | {"num_users": None},
        "split": {"kind": "random"},
        "features": {"sound": sound},
        "model": {"name": "modality_attention_gcn", "use_id": False, "num_layers": 0, "dim": 8}
        | {"loss": "softmax"}
        | PLAIN,
        "training": {"lr": 0.02, "batch_size": 256, "num_negatives": 8, "max_epochs": 10},
        "run": {"device": "cpu"},
    }
    scores = {}
    for name, overrides in (("learning", ()), ("random", ("features.sound.fine_tune=none",))):
        result = run(build_config(table, overrides), tmp_path / name)
        scores[name] = max(record["valid/ndcg@20"] for record in result.history)
    assert scores["learning"] > scores["random"]


def test_a_stopped_and_resumed_run_equals_a_whole_one(
    table: dict[str, Json], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (
        "training.max_epochs=4",
        "features.looks.fine_tune=last:1",
        "features.looks.fine_tune_items=8",
    )
    config = build_config(table, few)
    run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            "graphrec.training.resume.write_checkpoint", stop_at_checkpoint(2, after=True)
        )
        with pytest.raises(Killed):
            run(config, tmp_path / "stopped")
    run(config, tmp_path / "stopped", resume=True)
    same(tmp_path / "stopped", tmp_path / "whole")
    listed = pl.read_parquet(tmp_path / "whole" / "recommendations.parquet")
    user = listed["user"][0]
    again = recommend(tmp_path / "whole", users=[user], k=5)
    assert again["item"].to_list() == listed.filter(pl.col("user") == user)["item"].to_list()[:5]
    assert read_result(tmp_path / "whole").epochs == 4


def test_a_model_that_trains_no_encoder_refuses_one(table: dict[str, Json], monkeypatch) -> None:
    monkeypatch.setattr(MODELS["modality_attention_gcn"], "trains_encoders", False)
    with pytest.raises(ConfigError, match=r"\[features.looks\] fine_tune: model .* does not train"):
        prepare(build_config(table, TUNED), RunLog())
