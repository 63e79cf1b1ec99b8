"""Rows of an encoder that learns through the recommender's loss."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.networks import Network, UnreadableError
from graphrec.features.content.rows import FineTuning, TrainableRows, layers
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder
from tests.features import tiny

CONTENTS = [("1 2", "a"), None, ("3 4", "b"), ("5 6", "c"), ("7 8", "d")]


class Net(nn.Module):
    """Two layers in a list, one before and one after it, and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(2, 3)
            self.layer = nn.ModuleList(nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(2))
            self.layer = nn.ModuleList(nn.ModuleDict({"dense": each}) for each in self.layer)
            self.last = nn.Linear(3, 4)
            self.pooler = nn.Linear(4, 4)
            self.dropout = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.first(x))
        for layer in self.layer:
            x = layer["dense"](x)
        return self.last(x)


def prepare(source: str, _: str) -> Tensor:
    if source == "gone":
        raise UnreadableError("it is gone")
    return torch.tensor([float(word) for word in source.split()])


def tuned(fine_tune: str = "all", **settings: object) -> TrainableRows:
    table = {"max_items": 9, "batch_size": 2, "lr_scale": 0.1, "checkpointing": False}
    return TrainableRows(
        torch.zeros(5, 4),
        CONTENTS,
        Network(prepare, lambda inputs: (torch.stack(tuple(inputs)),), Net()),
        FineTuning(fine_tune, **{**table, "unit": False, **settings}),
    )


def expected(rows: TrainableRows) -> Tensor:
    inputs = [prepare(*content) for content in CONTENTS if content is not None]
    return rows.network.module(torch.stack(inputs))


def train_a_step(rows: TrainableRows, items: Tensor) -> None:
    with rows.live(items):
        rows().square().sum().backward()
    torch.optim.SGD(rows.parameters(), lr=0.1).step()


def test_only_the_live_items_have_new_rows_and_a_gradient():
    rows = tuned()
    with rows.live(torch.tensor([[2, 4], [2, 1]])):
        found = rows()
        assert torch.allclose(found[[2, 4]], expected(rows)[[1, 3]])
        assert not found[[0, 1, 3]].any()
        found[[0, 1, 3]].sum().backward()
        assert all(not weight.grad.any() for weight in rows.parameters())
    with rows.live(torch.tensor([2])):
        rows()[2].sum().backward()
    assert all(weight.grad.any() for weight in rows.parameters())


def test_after_a_step_all_rows_are_those_of_the_new_weights():
    rows = tuned()
    train_a_step(rows, torch.tensor([0]))
    found = rows()
    assert not found.requires_grad
    assert torch.allclose(found[[0, 2, 3, 4]], expected(rows))
    assert not found[1].any()


def test_rows_are_not_encoded_again_while_the_weights_stay(monkeypatch):
    rows = tuned()
    train_a_step(rows, torch.tensor([0]))
    rows.refresh()
    monkeypatch.setattr(rows, "_encoded", None)
    rows.refresh()
    rows()


def test_loaded_weights_make_the_rows_out_of_date():
    rows, other = tuned(), tuned()
    train_a_step(rows, torch.tensor([0, 2]))
    other.load_state_dict(rows.state_dict())
    assert torch.equal(other(), rows())


def test_the_state_is_the_trained_weights_only():
    assert len(tuned().state_dict()) == 8  # all but the pooler, which is never used
    names = [name.replace("/", ".") for name in tuned("last:1").state_dict()]
    assert [name.removeprefix("weights.") for name in names] == [
        "layer.1.dense.0.weight",
        "layer.1.dense.0.bias",
        "last.weight",
        "last.bias",
    ]


def test_frozen_layers_stay_as_they_are():
    rows = tuned("last:1")
    before = {name: weight.clone() for name, weight in rows.network.module.named_parameters()}
    train_a_step(rows, torch.tensor([0, 2, 3]))
    assert all(w.grad is None for w in rows.network.module.parameters() if not w.requires_grad)
    assert sum(w.requires_grad for w in rows.network.module.parameters()) == 4
    moved = {n for n, w in rows.network.module.named_parameters() if not torch.equal(w, before[n])}
    assert moved == {name.removeprefix("weights.").replace("/", ".") for name in rows.state_dict()}


def test_more_items_than_allowed_are_a_sample_that_follows_the_seed():
    rows = tuned(max_items=2)
    chosen = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        with rows.live(torch.arange(5)):
            chosen.append(tuple(rows().any(dim=1).nonzero().squeeze(1).tolist()))
    assert all(len(items) == 2 for items in chosen)
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 1


def test_items_without_content_alone_need_no_encoder():
    rows = tuned()
    with rows.live(torch.tensor([1])):
        assert not rows().any()


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        rows = tuned(checkpointing=checkpointing)
        with rows.live(torch.arange(5)):
            rows().square().sum().backward()
        gradients.append([weight.grad for weight in rows.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_in_mixed_precision_rows_stay_single_and_gradients_finite():
    rows = tuned()
    with torch.autocast("cpu", torch.bfloat16), rows.live(torch.arange(5)):
        assert rows().dtype == torch.float32
        rows().square().sum().backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in rows.parameters())


def test_rows_of_length_1_are_so_while_they_learn():
    rows = tuned(unit=True)
    with rows.live(torch.arange(5)):
        assert torch.allclose(rows().norm(dim=1), torch.tensor([1.0, 0, 1, 1, 1]))


def test_a_content_that_is_gone_is_named(monkeypatch):
    rows = tuned()
    monkeypatch.setattr(rows, "_contents", [("gone", "a"), *CONTENTS[1:]])
    with (
        pytest.raises(DataError, match=r"among gone, .* cannot be read: it is gone"),
        rows.live(torch.tensor([0])),
    ):
        pass


def test_too_many_layers_and_nothing_to_train_are_refused():
    with pytest.raises(ConfigError, match="'last:3', but the encoder has 2 layers"):
        tuned("last:3")
    network = Network(prepare, lambda inputs: (torch.stack(tuple(inputs)),), nn.Identity())
    settings = FineTuning("all", 9, 2, 0.1, False, False)
    with pytest.raises(ConfigError, match="no weights to train"):
        TrainableRows(torch.zeros(5, 2), CONTENTS, network, settings)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            "emb.w encoder.layer.0.a.w encoder.layer.1.a.b.w norm.w",
            "encoder.layer.0 encoder.layer.1",
        ),
        ("conv1.weight layer1.0.conv1.w layer1.1.conv1.w layer2.0.conv1.w", "layer1 layer2"),
        (
            "features.0.0.w features.1.0.block.0.w features.2.0.w",
            "features.0 features.1 features.2",
        ),
        ("features.0.weight features.2.weight fc.weight", "features.0 features.2 fc"),
        ("h.0.ln_1.w h.1.ln_1.w ln_f.w", "h.0 h.1"),
    ],
    ids=["transformer", "residual", "efficient", "plain", "gpt"],
)
def test_layers_are_the_numbered_modules_with_parts(names, found):
    assert layers(names.split()) == found.split()


# --- through an encoder's own loading code ---


@pytest.mark.parametrize("normalize", ["none", "l2"])
@pytest.mark.parametrize("save", [tiny.save_bert, tiny.save_gpt, tiny.save_clip])
def test_live_texts_equal_their_stored_rows(
    tmp_path: Path, save: Callable[[Path], Path], normalize: str
) -> None:
    table = pl.DataFrame({"text": ["red ball", None, "a b c d " * 8, "blue"]})
    config = TextConfig(
        encoder=f"local:{save(tmp_path / 'net')}",
        text=("text",),
        store=tmp_path,
        fine_tune="all",
        normalize=normalize,
    )
    found = TextEncoder(config).encode(table, pl.Series(list("abcd")))
    rows = found.rows()
    assert isinstance(rows, TrainableRows)
    with rows.live(torch.arange(4)):
        np.testing.assert_allclose(rows().detach(), found.values, atol=1e-6)
        rows()[2, 0].backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in rows.parameters())


def test_every_call_gives_a_module_with_weights_of_its_own(tmp_path):
    config = TextConfig(
        encoder=f"local:{tiny.save_bert(tmp_path / 'net')}",
        text=("text",),
        store=tmp_path,
        fine_tune="last:1",
    )
    found = TextEncoder(config).encode(
        pl.DataFrame({"text": ["red", "blue"]}), pl.Series(["a", "b"])
    )
    one, two = found.rows(), found.rows()
    train_a_step(one, torch.tensor([0, 1]))
    assert not torch.equal(one(), two())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fine_tune": "some"}, "fine_tune"),
        ({"fine_tune": "last:0"}, "fine_tune"),
        ({"fine_tune": "all", "pca": 3}, "pca cannot follow an encoder that is trained"),
        ({"fine_tune_lr_scale": 1.0}, r"fine_tune_lr_scale is for fine_tune = 'last:N' or 'all'"),
        ({"gradient_checkpointing": True}, "gradient_checkpointing is for fine_tune"),
    ],
)  # fmt: skip
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TextConfig(encoder="hf:x", text=("text",), **settings)
