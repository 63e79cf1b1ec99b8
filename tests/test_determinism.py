"""One seed gives one result, whatever the memory, and leaves the process as it was."""

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from graphrec import Inputs, build_config, read_result, run
from graphrec.models import MODELS
from graphrec.models.config import EmbeddingConfig
from graphrec.models.mf import MF
from tests import flow


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_result(model: str, tmp_path: Path) -> None:
    first = flow.finished(model)
    torch.rand(3)  # What others draw must not matter.
    second = run(flow.config_of(flow.data(), model), tmp_path)
    assert second.metrics == read_result(first).metrics
    assert flow.untimed(second) == flow.untimed(read_result(first))
    for name in ("recommendations.parquet", "per_user.parquet"):
        assert pl.read_parquet(tmp_path / name).equals(pl.read_parquet(first / name))


@pytest.mark.parametrize("model", flow.TRAINED)
def test_another_seed_gives_other_weights_on_the_same_split(model: str) -> None:
    first, second = flow.finished(model), flow.finished(model, "run.seed=1")
    assert read_result(first).fingerprints == read_result(second).fingerprints
    weights = [
        safetensors.torch.load_file(folder / "checkpoint.safetensors") for folder in (first, second)
    ]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_the_split_seed_changes_the_split_alone() -> None:
    first = flow.finished("popular", "split.kind=random")
    second = flow.finished("popular", "split.kind=random", "split.seed=1")
    left, right = (read_result(folder).fingerprints for folder in (first, second))
    assert {key for key in left if left[key] != right[key]} == {"split"}


def test_memory_for_scores_does_not_change_a_result(tmp_path: Path) -> None:
    """With 1 MiB and 700 items there are two blocks of 93 users instead of one of 256."""
    rng = np.random.default_rng(0)
    lines = ["user,item"]
    for user in range(120):
        lines += [f"{user},{item}" for item in rng.choice(700, 12, replace=False)]
    lines += [f"0,{item}" for item in range(700) if f"0,{item}" not in lines]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    table = {
        "data": {"path": str(tmp_path / "pairs.csv")},
        "model": {"name": "lightgcn", "dim": 8},
        "training": {"max_epochs": 2},
        "evaluation": {"metrics": ["recall", "ndcg", "coverage", "auc"]},
    }
    results = [
        run(build_config(table, [f"evaluation.memory_mb={size}"]), tmp_path / str(size))
        for size in (1, 512)
    ]
    assert results[0].metrics == results[1].metrics
    assert flow.untimed(results[0]) == flow.untimed(results[1])
    lists = [pl.read_parquet(tmp_path / size / "recommendations.parquet") for size in ("1", "512")]
    assert lists[0].equals(lists[1])


@pytest.mark.parametrize("model", MODELS)
def test_global_random_states_and_threads_are_left_alone(model: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = (
        torch.random.get_rng_state(),
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )
    run(flow.config_of(flow.data(), model), tmp_path)
    after = (
        torch.random.get_rng_state(),
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(*pair) for pair in zip(before[2], after[2], strict=True))
    assert before[3:] == after[3:]


class PlainLayer(MF):
    """A model of somebody else: a torch layer as it comes, drawn from the global generator."""

    def __init__(self, config: EmbeddingConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.layer = nn.Linear(config.dim, config.dim)

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.layer(self.users), self.items


def test_plain_layers_of_a_model_of_your_own_go_by_the_seed_too(tmp_path: Path) -> None:
    name = f'model.name="{__name__}:PlainLayer"'
    results = []
    for attempt, seed in enumerate((0, 0, 1)):
        torch.manual_seed(attempt)
        before = torch.random.get_rng_state()
        config = flow.config_of(flow.data(), "mf", [name, f"run.seed={seed}"])
        results.append(flow.untimed(run(config, tmp_path / str(attempt))))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert results[0] == results[1] != results[2]
