"""What a run says of its data: warnings and weights stand in log.jsonl, not on the screen only."""

import json
import sys
from pathlib import Path

import pytest

from graphrec import build_config
from graphrec.experiment.log import read_events
from graphrec.experiment.run import run
from graphrec.training import fit
from tests import flow

FIT = sys.modules[fit.__module__]


def events(folder: Path, rows: list[str], model: dict[str, object]) -> list[dict[str, object]]:
    (folder / "pairs.csv").write_text("\n".join(["user,item,stars", *rows]) + "\n")
    table: flow.Table = {
        "data": {"path": str(folder / "pairs.csv"), "weight": "stars"},
        "evaluation": {"top_k": [3], "valid_metric": "recall@3"},
        "run": {"recommend_k": 3, "device": "cpu"},
    }
    run(build_config(table | {"model": model}), folder / "out")
    lines = (folder / "out" / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def rows(low: str) -> list[str]:
    return [f"u{u},i{(u + k) % 9},{low if u == k == 0 else 4}" for u in range(8) for k in range(6)]


def test_a_warning_about_the_data_is_an_event_of_the_run(tmp_path: Path) -> None:
    found = events(tmp_path, [*rows("0"), "nan,i1,4"], {"name": "popular"})
    warnings = [str(each["message"]) for each in found if each["event"] == "warning"]
    assert len(warnings) == 2
    assert any("1 of 48 interactions have a weight of 0 or less" in each for each in warnings)
    assert any("'nan' in 1 row" in each for each in warnings)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "ease"}, "every row counts as a positive, whatever its weight"),
        ({"name": "ease", "use_weights": True}, "ease reads them (model.use_weights)"),
    ],
)
def test_the_log_says_what_becomes_of_weights(
    model: dict[str, object], said: str, tmp_path: Path
) -> None:
    (event,) = (each for each in events(tmp_path, rows("1"), model) if each["event"] == "weights")
    assert said in str(event["message"])
    assert event["used"] is bool(model.get("use_weights"))


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("place", ["save_state", "_train_epoch"])
def test_each_epoch_is_one_event_although_a_kill_lost_some(
    every: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs after the last checkpoint are trained again, and stood twice in the log."""
    config = flow.config_of(flow.data(), "mf", [f"training.checkpoint_every={every}"])
    real, calls = getattr(FIT, place), 0

    def killed(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if place == "_train_epoch" and calls == 3:
            raise KeyboardInterrupt
        found = real(*arguments)
        if place == "save_state":  # after it, as a kill between checkpoint and log would be
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FIT, place, killed)
        run(config, tmp_path / "run")
    run(config, tmp_path / "run", resume=True)
    epochs = [each for each in read_events(tmp_path / "run/log.jsonl") if each["event"] == "epoch"]
    assert [each["epoch"] for each in epochs] == [1, 2, 3, 4]
