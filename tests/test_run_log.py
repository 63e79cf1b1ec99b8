"""What a run says of its data: warnings and weights stand in log.jsonl, not on the screen only."""

import json
from pathlib import Path

import pytest

from graphrec import build_config
from graphrec.run import run
from tests import flow


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
