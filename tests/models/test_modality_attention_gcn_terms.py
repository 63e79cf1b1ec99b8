"""What the flagship adds to its ranking loss, and how training disturbs its content."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.data import Features, Modality
from graphrec.features.content.rows import TrainableRows
from graphrec.features.missing.token import TokenModality
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.nn.alignment.mixing import feature_noise, mixed
from graphrec.training import CheckpointPolicy, FitResult, fit
from graphrec.training.config import TrainingConfig
from tests.models.cases import (
    CPU,
    Case,
    World,
    batch_of,
    train_briefly,
)
from tests.models.flagship import (
    NAME,
    Settings,
    built,
    given_neighbours,
    literal_items,
    shaken,
    small_world,
)
from tests.nn.alignment import literal

EVERYTHING: Settings = {
    "align": "adversarial",
    "modality_loss": 0.3,
    "balance": "gradnorm",
    "projection_l1": 0.001,
    "feature_noise": 0.2,
    "feature_mix": 0.5,
    "feature_drop": 0.1,
    "modality_dropout": 0.2,
}


@pytest.fixture
def world() -> World:
    return small_world()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"align_weight": 0.3}, "align_weight has no effect while align = 'none'"),
        ({"align_temperature": 0.3}, "align_temperature has no effect on align = 'none'"),
        ({"align_temperature": 0.3, "align": "mmd"}, "align_temperature has no effect on align ="),
        ({"balance": "gradnorm"}, "balance has no effect while modality_loss = 0"),
        ({"balance_alpha": 1.0}, "balance_alpha has no effect while modality_loss = 0"),
        (
            {"modality_weights": {"text": 1}},
            "modality_weights has no effect while modality_loss = 0",
        ),
        ({"modality_loss": 1, "balance_alpha": 1.0}, "balance_alpha has no effect on balance = 'f"),
        (
            {"modality_loss": 1, "balance": "uncertainty", "modality_weights": {"text": 1}},
            "modality_weights has no effect on balance = 'uncertainty'",
        ),
        ({"align": "mmd", "align_weight": 0}, "align_weight"),
        ({"align": "infonce", "align_temperature": 0}, "align_temperature"),
        ({"align": "clip"}, "align"),
        ({"balance": "equal", "modality_loss": 1}, "balance"),
        ({"modality_loss": -1}, "modality_loss"),
        ({"projection_l1": -1}, "projection_l1"),
        ({"feature_noise": -0.1}, "feature_noise"),
        ({"feature_mix": -0.1}, "feature_mix"),
    ],
)
def test_settings_without_effect_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModalityAttentionGCNConfig.model_validate({"name": NAME, **settings})


@pytest.mark.parametrize(
    ("settings", "names", "needed"),
    [
        ({"align": "infonce"}, [], 1),
        ({"align": "infonce", "use_id": False}, ["text"], 2),
        ({"align": "mmd"}, ["text"], 2),
        ({"align": "adversarial"}, ["text"], 2),
        ({"modality_loss": 1.0}, [], 1),
        ({"modality_loss": 1.0, "balance": "gradnorm"}, ["text"], 2),
        ({"projection_l1": 1.0}, [], 1),
        ({"feature_noise": 1.0}, [], 1),
        ({"feature_mix": 1.0}, [], 1),
    ],
)
def test_too_few_modalities_are_refused(
    world: World, settings: Settings, names: list[str], needed: int
) -> None:
    *_, key = [name for name in settings if name != "use_id"]
    features = Features({name: world.features[name] for name in names}, 12)
    with pytest.raises(ConfigError, match=rf"{key} needs {needed} or .* {len(names)}\. .*{key}\."):
        built(world, features, **settings)


def test_lists_of_neighbours_are_nothing_to_align(world: World) -> None:
    features = Features({"image": given_neighbours(world), "text": world.features["text"]}, 12)
    with pytest.raises(ConfigError, match="align needs 2 or more modalities with values"):
        built(world, features, align="mmd", item_layers=1, knn_k=3)


def test_shares_of_unknown_modalities_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="modality_weights has no share for 'audio'"):
        built(world, modality_loss=1.0, modality_weights={"text": 1.0, "image": 1.0})


@pytest.mark.parametrize("align", ["infonce", "mmd"])
def test_one_modality_or_one_that_nobody_has_trains(world: World, align: str) -> None:
    text = world.features["text"]
    nobody = Modality(world.features["image"].values, np.zeros(12, dtype=np.bool_))
    tables = {"text": text} if align == "infonce" else {"image": nobody, "text": text}
    model = built(world, Features(tables, 12), align=align)
    terms = train_briefly(model, world, epochs=2).history[-1]
    assert terms[f"loss/{align}"] == 0 if align == "mmd" else terms[f"loss/{align}"] > 0


def literal_tokens(world: World, state: dict[str, literal.Dense]) -> literal.Dense:
    """W_m f_im + b_m, ``[I, M, D]``."""
    return np.stack(
        [
            world.features[name].values @ state[f"content.projections.{m}.weight"].T
            + state[f"content.projections.{m}.bias"]
            for m, name in enumerate(sorted(world.features))
        ],
        axis=1,
    )


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf", "gat", "none"])
@pytest.mark.parametrize("use_id", [True, False])
def test_alignment_is_that_of_projections_and_free_embeddings(
    world: World, backbone: str, use_id: bool
) -> None:
    """Whatever messages pass; the cold item has content, but no embedding of its own."""
    batch = batch_of(world)
    batch = batch._replace(neg=torch.where(batch.neg == 2, 11, batch.neg))
    settings: Settings = {"align": "infonce", "align_weight": 0.5, "modality_dropout": 0.5}
    model = built(world, backbone=backbone, use_id=use_id, **settings)
    state, present = shaken(model), model.content.present.numpy()
    views, items = literal_tokens(world, state), np.unique(batch.items)
    assert 11 in items
    if use_id:
        trained = np.isin(np.arange(12), world.train.items)
        assert not trained[11]
        views = np.concatenate([views, state["items"][:, None]], axis=1)
        present = np.concatenate([present, trained[:, None]], axis=1)
    expected = 0.5 * literal.infonce(views[items], present[items], 0.2)
    with torch.random.fork_rng():
        assert model.loss(batch)["infonce"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["bpr", "softmax", "bce"])
@pytest.mark.parametrize(
    "place",
    [{}, {"backbone": "ngcf"}, {"where": "graph", "item_layers": 1, "knn_k": 3}],
)
def test_a_modality_alone_is_ranked_by_the_start_of_the_user(
    world: World, place: Settings, loss: str
) -> None:
    batch = batch_of(world)
    more: Settings = {"modality_loss": 0.5, "temperature": 0.7, "loss": loss, **place}
    model = Case(NAME, user_features=True).build(world, more=more)
    assert isinstance(model, ModalityAttentionGCN)
    state = shaken(model)
    with torch.no_grad():
        users = (model.users + model.user_content())[batch.users].double().numpy()
    expected = literal.modality_losses(
        users,
        literal_tokens(world, state),
        model.content.present.numpy(),
        batch.items.numpy(),
        loss,
        0.7,
    )
    terms = model.loss(batch)
    for name, value in zip(model.content.names, expected, strict=True):
        assert terms[f"modality_{name}"].item() == pytest.approx(0.5 * value, rel=1e-4)


@pytest.mark.parametrize("name", ["modality_text", "infonce", "mmd", "projection_l1"])
def test_terms_read_the_tokens_that_are_fused(world: World, name: str) -> None:
    """Tokens made twice would be mixed and masked twice, with other random numbers."""
    settings: Settings = {"align": name} if name in ("infonce", "mmd") else {name: 0.5}
    if name == "modality_text":
        settings = {"modality_loss": 0.5}
    model = built(world, feature_mix=1.0, backbone="none", fusion="sum", **settings)
    batch, seen = batch_of(world), []
    model.fusion.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    both = list(zip(model.content.rows, model.content.projections, strict=True))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = model.loss(batch)[name]
        torch.manual_seed(0)
        plain = torch.stack([project(content()) for content, project in both], dim=1)
        expected = mixed(plain, model.content.present, 1.0)
    assert len(seen) == 1
    assert torch.equal(seen[0], expected)
    model.config = model.config.model_copy(update={"feature_mix": 0.0})
    model.content.forward = lambda: expected  # type: ignore[method-assign]
    assert torch.equal(model.loss(batch)[name], found)


def test_tokens_are_forgotten_after_a_step(world: World) -> None:
    """Also when it failed: the next step, or evaluation, would read those of old weights."""
    model = built(world, align="mmd")
    model.loss(batch_of(world))
    before = model.attention()
    shaken(model)
    assert not torch.equal(model.attention(), before)
    with pytest.raises(IndexError):
        model.loss(batch_of(world)._replace(pos=torch.full((len(world.train),), 99)))
    before = model.attention()
    shaken(model)
    assert not torch.equal(model.attention(), before)


class Learning(TrainableRows):
    """Rows that are trained themselves, of the batch's items in a step only."""

    def __init__(self, values: Tensor) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(values.clone())
        self.items: Tensor | None = None

    def forward(self) -> Tensor:
        kept = self.weight.detach()
        return (
            kept if self.items is None else kept.index_copy(0, self.items, self.weight[self.items])
        )

    def refresh(self) -> None:
        pass

    @contextmanager
    def live(self, items: Tensor) -> Iterator[None]:
        self.items = items.unique()
        yield
        self.items = None


def test_rows_that_learn_need_something_that_reads_them(world: World) -> None:
    text = world.features["text"]
    token = TokenModality(
        text.values, np.ones_like(text.present), lacking=~text.present, start=text.values.mean(0)
    )
    features, place = (
        Features({"text": token}, 12),
        {"where": "graph", "item_layers": 1, "knn_k": 3},
    )
    with pytest.raises(ConfigError, match=r"\[features.text\] learns .* but with model.where"):
        built(world, features, **place)
    built(world, features, **place, modality_loss=0.1)


@pytest.mark.parametrize("name", ["infonce", "mmd", "projection_l1", "modality_image"])
def test_terms_reach_encoders_that_are_trained(world: World, name: str) -> None:
    settings: Settings = {"align": name} if name in ("infonce", "mmd") else {name: 0.5}
    if name == "modality_image":
        settings = {"modality_loss": 0.5}
    model = built(world, feature_noise=0.1, **settings)
    place = model.names.index("image")
    encoder = Learning(torch.from_numpy(world.features["image"].values))
    model.content.rows[place] = encoder
    model.content.noisy[place].content = encoder
    model.begin_epoch(torch.Generator().manual_seed(0))
    batch = batch_of(world)
    batch = batch._replace(pos=batch.pos % 6, neg=batch.neg % 6)
    (gradient,) = torch.autograd.grad(model.loss(batch)[name], encoder.weight)
    reached = set(gradient.any(dim=1).nonzero().flatten().tolist())
    assert reached == set(range(6)) & set(np.flatnonzero(world.features["image"].present))


def test_noise_is_drawn_each_epoch_and_in_training_only(world: World) -> None:
    model = built(world, feature_noise=0.4, backbone="none")
    state, images = shaken(model), []
    for seed in (5, 6):
        model.begin_epoch(torch.Generator().manual_seed(seed))
        rng, noisy = torch.Generator().manual_seed(seed), {}
        for name in sorted(world.features):
            values, present = world.features[name].values, world.features[name].present
            known = torch.from_numpy(present)
            noise = feature_noise(torch.from_numpy(values), known, 0.4, rng).numpy()
            assert np.abs(noise).max() > 0.1
            noisy[name] = Modality(values + noise, present)
        images.append(noisy["image"].values)
        part = replace(world, features=Features(noisy, 12))
        for current, training in ((part, True), (world, False)):
            expected = literal_items(current, state, "attention", True)
            actual = model.train(training).embed()[1].detach()
            np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert not np.array_equal(*images)


def test_items_are_mixed_in_each_training_step(world: World) -> None:
    model = built(world, feature_mix=0.5, backbone="none", fusion="sum", use_id=False)
    shaken(model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = (model.train().embed()[1].detach() for _ in range(2))
        torch.manual_seed(0)
        assert torch.equal(model.embed()[1], first)
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model.embed()[1], model.embed()[1])


def run_to(
    model: ModalityAttentionGCN, world: World, path: Path | None, resume: bool = False
) -> FitResult:
    policy = CheckpointPolicy(path, {}, resume) if path else None
    config = TrainingConfig(lr=0.01, batch_size=8, max_epochs=6, num_negatives=2)
    return fit(model, world.train, config, seed=0, device=CPU, checkpoint=policy)


class Killed(BaseException):
    """Stands for a kill in this process: nothing may catch it."""


@pytest.mark.parametrize(
    "settings",
    [EVERYTHING, {"align": "infonce", "modality_loss": 0.3, "balance": "uncertainty"}],
    ids=["gradnorm", "uncertainty"],
)
def test_stopped_and_resumed_equals_uninterrupted(
    world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first losses of gradnorm are part of what a checkpoint must hold."""
    path, whole = tmp_path / "stopped", built(world, **settings)
    expected = run_to(whole, world, tmp_path / "whole")
    begun = ModalityAttentionGCN.begin_epoch
    calls = 0

    def begin_epoch(model: ModalityAttentionGCN, rng: torch.Generator) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Killed
        begun(model, rng)

    with monkeypatch.context() as patch:
        patch.setattr(ModalityAttentionGCN, "begin_epoch", begin_epoch)
        with pytest.raises(Killed):
            run_to(built(world, **settings), world, path)
    torch.rand(5)
    again = built(world, **settings)
    found = run_to(again, world, path, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for record, wanted in zip(found.history, expected.history, strict=True):
        assert {k: v for k, v in record.items() if "seconds" not in k} == {
            k: v for k, v in wanted.items() if "seconds" not in k
        }


def test_every_term_stands_in_the_history(world: World) -> None:
    record = run_to(built(world, **EVERYTHING), world, None).history[-1]
    modalities = {f"loss/modality_{name}" for name in ("audio", "image", "text")}
    assert {name for name in record if name.startswith("loss/")} == {
        *("loss/bpr", "loss/reg", "loss/adversarial", "loss/projection_l1", "loss/gradnorm"),
        *modalities,
    }
