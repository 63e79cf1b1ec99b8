"""Work that does not fit into memory is refused before it begins: need, limit and remedy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec import ConfigError, build_config, run
from graphrec.core import memory_limit
from graphrec.core.memory_limit import Need, free_memory, require_memory
from graphrec.data import Features, Interactions, Modality
from graphrec.models import MODELS, Inputs
from tests import flow
from tests.models.cases import random_interactions

GIB = 2**30


def inputs_of(num_users: int, num_items: int, features: Features | None = None) -> Inputs:
    one = np.zeros(1, dtype=np.int32)
    return Inputs(Interactions(one, one, num_users, num_items), torch.Generator(), features)


def need_of(model: str, inputs: Inputs, **settings: object) -> Need:
    model_class = MODELS[model]
    return next(model_class.needs(model_class.Config(name=model, **settings), inputs))


def test_an_error_says_need_limit_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "free_memory", lambda: 4 * GIB)
    require_memory([Need("Work", 2 * GIB, "Do less.")])
    message = (
        r"Work needs about 3\.0 GiB of memory; the limit is 2\.0 GiB \(half of the free memory\)\. "
        r"Do less\. Where the memory is there, set run\.memory_mb = 3072"
    )
    with pytest.raises(ConfigError, match=message):
        require_memory([Need("Work", 3 * GIB, "Do less.")])
    require_memory([Need("Work", 3 * GIB, "Do less.")], memory_mb=3072)
    with pytest.raises(ConfigError, match=r"limit is 1\.0 GiB \(run\.memory_mb\)"):
        require_memory([Need("Work", 3 * GIB, "Do less.")], memory_mb=1024)


def test_where_the_system_does_not_say_what_is_free_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_limit, "free_memory", lambda: None)
    require_memory([Need("Work", 2**60, "Do less.")])


def test_free_memory_is_no_more_than_the_control_group_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = free_memory()
    assert known is None or known > 0
    monkeypatch.setattr(memory_limit, "_available", lambda: 8 * GIB)
    monkeypatch.setattr(memory_limit, "_groups", lambda: [3 * GIB, None])
    monkeypatch.setattr(memory_limit, "_address_space", lambda: 5 * GIB)
    assert free_memory() == 3 * GIB


@pytest.mark.parametrize("key", ["model.name", "evaluation.baselines"])
def test_ease_that_does_not_fit_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """EASE on 60,000 items was killed by the system, as a baseline after hours of training."""
    monkeypatch.setattr(memory_limit, "free_memory", lambda: 4000)
    table = flow.table_of(flow.data(), "ease" if key == "model.name" else "popular")
    table["evaluation"] |= {"memory_mb": 1}  # type: ignore[operator]
    overrides = [] if key == "model.name" else ["evaluation.baselines=['ease']"]
    settings = build_config(table, overrides)
    monkeypatch.setattr("graphrec.experiment.checks.ranking_need", lambda *_: Need("", 0, ""))
    with pytest.raises(ConfigError, match=r"ease solves a dense matrix.*Use itemknn") as caught:
        run(settings, tmp_path / "run")
    assert "run.memory_mb" in str(caught.value)
    assert not (tmp_path / "run").exists()
    run(build_config(table, [*overrides, "run.memory_mb=100"]), tmp_path / "run")


def test_a_block_of_scores_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_limit, "free_memory", lambda: 2000)
    with pytest.raises(ConfigError, match=r"Ranking 18 items for .*Lower evaluation\.memory_mb"):
        run(build_config(flow.table_of(flow.data(), "popular")), tmp_path / "run")


def test_needs_grow_with_the_work() -> None:
    assert need_of("ease", inputs_of(60_000, 60_000)).num_bytes > 4 * 60_000**2
    assert need_of("ease", inputs_of(1_000, 60_000)).num_bytes < GIB
    small, large = (
        need_of("joint_embedding", inputs_of(10, 100_000), align=align, align_items=50_000)
        for align in ("infonce", "mmd")
    )
    assert 4 * 50_000**2 < small.num_bytes < large.num_bytes
    train = random_interactions(200, 100, share=0.5, seed=0)
    knn = Inputs(train, torch.Generator())
    few, many = (need_of("itemknn", knn, knn_k=count) for count in (1, 100))
    assert few.num_bytes < many.num_bytes


def test_a_graph_of_similar_items_is_estimated_from_its_features() -> None:
    values = np.zeros((50, 40), dtype=np.float32)
    features = Features({"text": Modality(values, np.ones(50, dtype=np.bool_))}, 50)
    inputs = inputs_of(10, 50, features)
    need = need_of("modality_attention_gcn", inputs, item_layers=1)
    assert "[features.text]" in need.what
    assert need.num_bytes > 8 * values.size
    config = MODELS["modality_attention_gcn"].Config(
        name="modality_attention_gcn", closed_form="none"
    )
    assert not list(MODELS["modality_attention_gcn"].needs(config, inputs))


def test_small_sizes_are_not_told_as_nothing() -> None:
    """Data of a guide under a small limit needed "about 0.0 GiB; the limit is 0.0 GiB"."""
    need = Need("Work", 30 * 2**20, "Do less.")
    with pytest.raises(ConfigError, match=r"about 30\.0 MiB .*limit is 10\.0 MiB"):
        require_memory([need], 10)
