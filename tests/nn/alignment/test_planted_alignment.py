"""The terms do what they promise to a model that is trained on planted tastes."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from graphrec.core.config import Json
from graphrec.data import Features, Modality
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.training import FitResult
from tests.models.cases import checkerboard_world, planted_world, train_briefly
from tests.models.flagship import built
from tests.nn.alignment import literal


def trained(epochs: int, lr: float, **settings: Json) -> tuple[ModalityAttentionGCN, FitResult]:
    model = built(planted_world(), **settings)
    return model, train_briefly(model, planted_world(), epochs, batch_size=128, lr=lr)


def tokens_of(model: ModalityAttentionGCN) -> Tensor:
    """Of the items that have both modalities."""
    with torch.no_grad():
        return model.content()[model.content.present.all(dim=1)]


def test_contrast_brings_the_modalities_of_an_item_together() -> None:
    """An item is nearer to itself in the other modality than nearly all others are."""
    nearer = []
    for settings in ({}, {"align": "infonce", "align_weight": 1.0}):
        tokens = tokens_of(trained(30, 0.01, **settings)[0])
        image, text = functional.normalize(tokens, dim=2).unbind(dim=1)
        cosines = image @ text.T
        own = cosines.diagonal().unsqueeze(1)
        nearer.append((cosines > own).float().mean().item())
    assert own.mean() - cosines.mean() > 0.3
    assert nearer[1] < 0.1 < nearer[0]


def test_discrepancy_falls() -> None:
    found = []
    for settings in ({}, {"align": "mmd", "align_weight": 1.0}):
        tokens = tokens_of(trained(30, 0.01, **settings)[0]).double().numpy()
        found.append(literal.mmd(tokens, np.ones(tokens.shape[:2], dtype=np.bool_)))
    assert found[1] < 0.5 * found[0]


def test_the_discriminator_is_left_at_chance() -> None:
    """Where its gradient is hardly turned back, it knows every token."""
    guessed, costs = [], []
    for weight, epochs, lr in ((1e-6, 30, 0.01), (1.0, 150, 0.001)):
        model, result = trained(epochs, lr, align="adversarial", align_weight=weight)
        logits = model.terms.discriminator.logits(tokens_of(model))
        guessed.append((logits.argmax(dim=2) == torch.arange(2)).float().mean().item())
        costs.append(np.mean([each["loss/adversarial"] for each in result.history[-30:]]))
    assert guessed[0] > 0.95
    assert abs(guessed[1] - 0.5) < 0.15
    assert costs[0] < 0.3
    assert costs[1] == pytest.approx(np.log(2), abs=0.05)


def test_sparse_codes_are_smaller() -> None:
    sizes = []
    for weight in (0.0, 0.1):
        model, _ = trained(10, 0.01, projection_l1=weight)
        sizes.append(tokens_of(model).abs().mean().item())
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_balance_favours_the_modality_that_lags(balance: str) -> None:
    """Images show the kind of an item, texts are noise: their loss stays high.

    Uncertainty takes weight from it, gradient norms give it more.
    """
    world = checkerboard_world()
    rng = np.random.default_rng(0)
    shape = world.features["text"].values.shape
    everyone = np.ones(len(world.features["text"].present), dtype=np.bool_)
    noise = Modality(0.1 * rng.normal(size=shape).astype(np.float32), everyone)
    features = Features({"image": world.features["image"], "text": noise}, len(everyone))
    model = built(world, features, modality_loss=0.5, balance=balance)
    train_briefly(model, world, epochs=15)
    if balance == "uncertainty":
        image, text = torch.exp(-model.terms.balance.log_variance).tolist()
        assert image > 1.1 * text
    else:
        image, text = model.terms.balance.logits.softmax(0).tolist()
        assert text > 1.1 * image
