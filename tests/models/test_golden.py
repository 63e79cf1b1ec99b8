"""Losses and best scores at seed 0 on ``planted``: a change of numbers shows in the diff.

Add a model, or rewrite after an intended change, with ``python -m tests.models.test_golden
--update``: what agrees within the tolerance stays as it is, since machines round differently.
"""

import json
import sys
from pathlib import Path
from typing import TypedDict

import pytest
import torch

from tests.models.cases import TRAINED, Case, planted_world, train_briefly

GOLDEN = Path(__file__).with_name("golden.json")


class Record(TypedDict):
    """The sum of the loss terms in each epoch, and the best items of two users."""

    losses: list[dict[str, float]]
    items: list[list[int]]
    scores: list[list[float]]


def measure(case: Case) -> Record:
    world = planted_world()
    model = case.build(world)
    history = train_briefly(model, world, epochs=2, batch_size=128).history
    with torch.no_grad():
        best = model.eval().score(world.users[:2]).topk(5)
    losses = [{k: v for k, v in record.items() if k.startswith("loss/")} for record in history]
    return {"losses": losses, "items": best.indices.tolist(), "scores": best.values.tolist()}


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_numbers_are_those_on_record(case: Case) -> None:
    """A refactoring must leave them as they are."""
    require_equal(measure(case), json.loads(GOLDEN.read_text())[str(case)])


def require_equal(found: Record, golden: Record) -> None:
    for record, expected in zip(found["losses"], golden["losses"], strict=True):
        assert record == pytest.approx(expected, rel=1e-5)
    assert found["items"] == golden["items"]
    for row, wanted in zip(found["scores"], golden["scores"], strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)


def test_the_record_holds_the_trained_models_and_no_others() -> None:
    assert set(json.loads(GOLDEN.read_text())) == {str(case) for case in TRAINED}


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python -m tests.models.test_golden --update")
    before, records = json.loads(GOLDEN.read_text()), {}
    for case in TRAINED:
        found = measure(case)
        try:
            require_equal(found, before[str(case)])
            records[str(case)] = before[str(case)]
        except (AssertionError, KeyError, ValueError):
            records[str(case)] = found
    GOLDEN.write_text(json.dumps(records, indent=1) + "\n")
