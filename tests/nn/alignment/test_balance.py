"""Losses of single modalities, and what decides how much each of them counts."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.core.errors import ConfigError
from graphrec.nn import losses
from graphrec.nn.alignment.balance import Fixed, GradNorm, Uncertainty, modality_losses
from tests.nn.alignment import literal
from tests.nn.alignment.literal import FILLERS, tokens_and_mask

ALL = torch.ones(3).bool()


def ranking(loss: str, temperature: float = 0.7) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda pos, neg: losses.LOSSES[loss](pos, neg, temperature)


def batch(num_negatives: int = 3) -> tuple[Tensor, Tensor]:
    """Users, and rows of items: the positives first; item 1, without anything, among them."""
    rng = torch.Generator().manual_seed(2)
    items = torch.randint(9, (30, 1 + num_negatives), generator=rng)
    items[0, 0], items[1, 1] = 1, 1
    return torch.randn(30, 4, generator=rng, dtype=torch.float64), items


@pytest.mark.parametrize("num_negatives", [1, 3])
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_losses_of_single_modalities_follow_the_formula(loss: str, num_negatives: int) -> None:
    (users, items), (tokens, present) = batch(num_negatives), tokens_and_mask()
    found, counted = modality_losses(users, tokens, present, items, ranking(loss))
    arrays = (each.numpy() for each in (users, tokens, present, items))
    expected = literal.modality_losses(*arrays, loss, 0.7)
    assert counted.all()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_modality_that_an_item_lacks_changes_neither_value_nor_gradient(loss: str) -> None:
    outputs = []
    for filler in FILLERS[:3]:
        (users, items), (tokens, present) = batch(), tokens_and_mask()
        filled = tokens.float().masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        leaves = [filled, users.float().requires_grad_()]
        value = modality_losses(leaves[1], filled, present, items, ranking(loss))[0].sum()
        gradients = torch.autograd.grad(value, leaves)
        assert not gradients[0][~present].any()
        assert all(gradient.isfinite().all() for gradient in gradients)
        outputs.append((value, *gradients))
    for other in outputs[1:]:
        assert all(map(torch.equal, other, outputs[0]))


@pytest.mark.parametrize("side", ["positives", "negatives"])
def test_without_pairs_a_loss_is_zero_with_zero_gradients(side: str) -> None:
    """One column of the items has modality 0 nowhere; a mean over nothing is 0/0."""
    (users, items), (tokens, present) = batch(), tokens_and_mask()
    items = torch.where(torch.arange(4) == 0, items % 4, 4 + items % 5)
    present[:4, 0], present[4:, 0] = side == "negatives", side == "positives"
    leaves = [tokens.requires_grad_(), users.requires_grad_()]
    found, counted = modality_losses(users, tokens, present, items, ranking("bpr"))
    assert counted.tolist() == [False, True, True]
    assert found[0].item() == 0
    gradients = torch.autograd.grad(found[0], leaves)
    assert not any(gradient.any() for gradient in gradients)


def test_fixed_weights_are_those_that_were_given() -> None:
    given = torch.tensor([2.0, 3.0, 5.0])
    names = ("audio", "image", "text")
    weighed, own = Fixed(names, {"text": 0.5, "audio": 0.0, "image": 2.0})(given, ALL, given)
    assert weighed.tolist() == [0.0, 6.0, 2.5]
    assert own is None
    assert torch.equal(Fixed(names, None)(given, ALL, given)[0], given)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            {"image": 1.0},
            r"modality_weights has no share for 'text'\. Give one to each.*image, text",
        ),
        ({"image": 1, "text": 1, "txet": 1}, r"unknown 'txet'\. Did you mean 'text'"),
        ({"image": 0, "text": 0}, r"All of model\.modality_weights are 0"),
    ],
)
def test_weights_of_other_modalities_or_of_none_are_refused(shares, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fixed(("image", "text"), shares)


def test_uncertainty_follows_the_formula_and_its_best_weight_is_half_the_inverse_loss() -> None:
    """The sum is least at exp(s_m) = 2 L_m, where a loss has the weight 1 / (2 L_m)."""
    module, given = Uncertainty(3).double(), torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    assert torch.equal(module(given, ALL, given)[0], given)
    with torch.no_grad():
        module.log_variance += torch.tensor([0.5, -1.0, 2.0])
    weighed, own = module(given, ALL, given)
    s = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(weighed.detach(), np.exp(-s) * given.numpy(), rtol=1e-10)
    assert own.item() == pytest.approx(s.sum() / 2, rel=1e-10)
    with torch.no_grad():
        module.log_variance.copy_(torch.log(2 * given))
    weighed, own = module(given, ALL, given)
    slope = torch.autograd.grad(weighed.sum() + own, module.log_variance)[0]
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_uncertainty_of_a_modality_without_pairs_stays() -> None:
    """s_m / 2 alone would drive it down for ever."""
    module = Uncertainty(2)
    counted = torch.tensor([True, False])
    weighed, own = module(torch.tensor([1.0, 0.0]), counted, torch.zeros(1))
    slope = torch.autograd.grad(weighed.sum() + own, module.log_variance)[0]
    assert slope.tolist() == [-0.5, 0.0]


SLOPES = torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
"""Gradients of three linear losses; their norms are 5, 1 and 2."""


def linear_losses(at: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """``SLOPES`` times a shared weight, and that weight."""
    shared = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    return SLOPES @ shared, shared


def literal_gradnorm(logits: np.ndarray, now: np.ndarray, first: np.ndarray, a: float, c: float):
    """The weights and what they learn from; ``c`` is the constant mean norm of ``wanted``."""
    weights = 3 * np.exp(logits) / np.exp(logits).sum()
    norms = weights * np.array([5.0, 1.0, 2.0])
    ratios = now / first
    wanted = (norms.mean() if c < 0 else c) * (ratios / ratios.mean()) ** a
    return weights, norms, float(np.abs(norms - wanted).sum())


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_gradnorm_follows_the_formula_and_learns_from_a_constant(alpha: float) -> None:
    module = GradNorm(3, alpha).double()
    start, shared = linear_losses((1.0, 2.0))
    weighed, own = module(start, ALL, shared)
    assert torch.equal(weighed, start)
    assert module.first.tolist() == [11.0, 2.0, 2.0]
    logits = np.array([0.3, -0.2, 0.1])
    with torch.no_grad():
        module.logits.copy_(torch.from_numpy(logits))
    now, shared = linear_losses((0.5, 1.5))  # 7.5, 1.5 and 1
    weighed, own = module(now, ALL, shared)
    assert module.first.tolist() == [11.0, 2.0, 2.0]
    values, first = now.detach().numpy(), module.first.numpy()
    weights, norms, expected = literal_gradnorm(logits, values, first, alpha, -1)
    np.testing.assert_allclose(weighed.detach(), weights * values, rtol=1e-10)
    assert own.item() == pytest.approx(expected, rel=1e-10)
    slope = torch.autograd.grad(own, module.logits)[0]
    for m in range(3):
        step = 1e-6 * np.eye(3)[m]
        ends = [
            literal_gradnorm(logits + way * step, values, first, alpha, norms.mean())[2]
            for way in (1, -1)
        ]
        assert slope[m].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_gradnorm_teaches_weights_by_norms_and_everything_else_by_losses() -> None:
    module = GradNorm(3, 1.5).double()
    now, shared = linear_losses((1.0, 2.0))
    weighed, own = module(now, ALL, shared)
    assert torch.autograd.grad(own, shared, allow_unused=True, retain_graph=True)[0] is None
    reached = torch.autograd.grad(weighed.sum(), [shared, module.logits], allow_unused=True)
    torch.testing.assert_close(reached[0], SLOPES.sum(dim=0))
    assert reached[1] is None


def test_gradnorm_evens_out_the_norms() -> None:
    """With alpha = 0 all G_m are to be one: the weights are as 1/5 : 1 : 1/2."""
    module = GradNorm(3, 0.0).double()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        now, shared = linear_losses((1.0, 2.0))
        module(now, ALL, shared)[1].backward()
        optimizer.step()
    weights = 3 * module.logits.softmax(0)
    norms = weights * torch.tensor([5.0, 1.0, 2.0])
    torch.testing.assert_close(norms, norms.mean().expand(3), rtol=0.05, atol=0, check_dtype=False)


def test_gradnorm_leaves_out_what_has_no_pairs_and_remembers_in_training_only() -> None:
    module = GradNorm(3, 1.5).double()
    now, shared = linear_losses((1.0, 2.0))
    known = torch.tensor([True, False, True])
    now = torch.where(known, now, 0.0 * now)
    module.eval()(now, known, shared)
    assert not module.first.any()
    own = module.train()(now, known, shared)[1]
    assert module.first.tolist() == [11.0, 0.0, 2.0]
    assert own.item() == pytest.approx(abs(5 - 7 / 2) + abs(2 - 7 / 2))
    assert torch.autograd.grad(own, module.logits)[0].isfinite().all()
    for counted in (torch.zeros(3).bool(), ALL):  # no pairs, or all of them ranked without doubt
        now, shared = linear_losses((1.0, 2.0))
        own = module(0.0 * now, counted, shared)[1]
        assert own.item() == 0
        slope = torch.autograd.grad(own, module.logits)[0]
        assert slope.tolist() == [0.0, 0.0, 0.0]
    assert module.first.tolist() == [11.0, 0.0, 2.0]
