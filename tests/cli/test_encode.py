"""``graphrec encode``, and a run over raw pictures and texts."""

import json
from pathlib import Path

import pytest

from graphrec import load, load_config, read_result, split
from graphrec.data import SealedTest
from graphrec.data.config import SplitConfig
from graphrec.features.tabular.statistics import interaction_statistics
from tests import flow
from tests.features import tiny


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of ``flow`` with a picture for all items but two, and a configuration."""
    folder = tmp_path_factory.mktemp("shop")
    flow.write_data(folder)
    for number in range(flow.NUM_ITEMS - 2):
        tiny.picture(folder / "posters" / f"i{number:02}.png", seed=number % 3)
    table = flow.table_of(folder)
    common = {"store": str(folder / "store")}
    table["features"] = {
        "words": {"encoder": f"local:{tiny.save_bert(folder / 'bert')}", "text": "text"} | common,
        "looks": {
            "encoder": f"local:{tiny.save_vit(folder / 'vit')}",
            "images": f"{folder}/posters/{{item}}.png",
        }
        | common,
    }
    (folder / "config.json").write_text(json.dumps(table))
    return folder


def test_encode_tells_what_it_did_and_finds_it_again(shop: Path) -> None:
    first = json.loads(flow.graphrec("encode", shop / "config.json", "--json").out)
    assert first["words"]["present"] == flow.NUM_ITEMS - 1
    assert first["words"]["missing"] == {"i04": "no text"}
    assert first["looks"]["missing"] == {"i16": "no file", "i17": "no file"}
    assert first["looks"]["encoded"] == 3
    assert first["looks"]["duplicates"] == 13
    again = flow.graphrec("encode", shop / "config.json")
    assert again.code == 0
    header, looks = (
        next(line for line in again.out.splitlines() if word in line)
        for word in ("reused", "looks")
    )
    cells = dict(zip(map(str.strip, header.split("┃")), map(str.strip, looks.split("│")), strict=1))
    assert (cells["encoded"], cells["reused"], cells["items"]) == ("0", "3", "18")


def test_encode_strict_is_an_error_that_lists_ids(shop: Path) -> None:
    answer = flow.graphrec("encode", shop / "config.json", "features.looks.strict=true")
    assert answer.code == 2
    assert "[features.looks] 2 of 18 items have no image ('i16': no file; 'i17':" in answer.err
    for command in ("encode", "run"):
        answer = flow.graphrec(command, shop / "config.json", "--strict")
        assert answer.code == 2
        assert "[features.words] 1 of 18 items have no text ('i04': no text)" in answer.err


def test_encode_without_features_is_an_error(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("encode", config)
    assert answer.code == 2
    assert "has no table [features.NAME]" in answer.err


def test_a_run_over_raw_pictures_and_texts_trains_and_resumes(shop: Path, tmp_path: Path) -> None:
    command = ["run", shop / "config.json", "training.max_epochs=2", "--out", tmp_path / "run"]
    assert flow.graphrec(*command).code == 0
    result = read_result(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    resumed = ["run", tmp_path / "run" / "config.json", "--out", tmp_path / "run", "--resume"]
    assert flow.graphrec(*resumed).code == 0
    again = read_result(tmp_path / "run")
    assert again.metrics == result.metrics
    assert again.fingerprints == result.fingerprints


def test_encode_splits_first_for_statistics_and_leaves_the_test_part_sealed(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SealedTest, "open")
    tables = ("features", "user_features")
    overrides = [f"{table}.stats.encoder=interactions" for table in tables]
    found = json.loads(flow.graphrec("encode", shop / "config.json", *overrides, "--json").out)
    assert found["stats"]["items"] == flow.NUM_ITEMS
    assert found["user_features.stats"]["users"] == flow.NUM_USERS
    assert found["user_features.stats"]["columns"] == 3  # count, recency, age
    dataset = load(load_config(shop / "config.json").data)
    train = split(dataset, SplitConfig(kind="temporal_user")).train
    for name, side in (("stats", "items"), ("user_features.stats", "users")):
        assert found[name]["fingerprint"] == interaction_statistics(train, side).fingerprint
    shown = flow.graphrec("encode", shop / "config.json", *overrides).out
    assert "user_features.stats" in shown
    assert "users" in shown


def test_encode_of_user_features_alone(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("encode", config, "user_features.s.encoder=interactions", "--json")
    assert list(json.loads(answer.out)) == ["user_features.s"]
