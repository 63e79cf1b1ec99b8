import math

import pytest
import torch
from torch import Tensor

from graphrec.nn.losses import LOSSES, Chosen, bce, bpr, l2, softmax

POS = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
NEG = torch.tensor([[0.1, -0.4], [1.5, 0.0], [-2.0, 0.7]], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("t", [1.0, 0.2])
def test_bpr_is_the_mean_of_minus_log_sigmoid_over_all_pairs(t: float) -> None:
    pairs = [(p, n) for p, row in zip(POS.tolist(), NEG.tolist(), strict=True) for n in row]
    expected = sum(-math.log(sigmoid((p - n) / t)) for p, n in pairs) / 6
    assert bpr(POS, NEG, t).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("t", [1.0, 0.2])
def test_softmax_is_the_mean_log_share_of_the_positive(t: float) -> None:
    expected = 0.0
    for p, row in zip(POS.tolist(), NEG.tolist(), strict=True):
        total = math.exp(p / t) + sum(math.exp(n / t) for n in row)
        expected -= math.log(math.exp(p / t) / total) / 3
    assert softmax(POS, NEG, t).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("t", [1.0, 0.2])
def test_bce_weighs_positives_and_negatives_the_same(t: float) -> None:
    ones = sum(-math.log(sigmoid(p / t)) for p in POS.tolist()) / 3
    zeros = sum(-math.log(1 - sigmoid(n / t)) for row in NEG.tolist() for n in row) / 6
    assert bce(POS, NEG, t).item() == pytest.approx(ones + zeros, rel=1e-12)


def test_one_negative_gives_the_logistic_loss_of_the_difference() -> None:
    one = NEG[:, :1]
    assert bpr(POS, one, 1.0).item() == pytest.approx(softmax(POS, one, 1.0).item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_large_scores_do_not_overflow(name: str) -> None:
    """-log(sigmoid(x)) written out is infinite from x = -89 on in float32, and its gradient NaN."""
    for sign, expected in ((-1.0, 2e4), (1.0, 0.0)):
        pos = torch.full((4,), sign * 1e4, requires_grad=True)
        neg = torch.full((4, 1), -sign * 1e4, requires_grad=True)
        value = LOSSES[name](pos, neg, 1.0)
        assert value.item() == pytest.approx(expected)
        gradients = torch.autograd.grad(value, [pos, neg])
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_better_scores_lower_the_loss_and_equal_shifts_do_not_matter_to_ranking(name: str) -> None:
    loss = LOSSES[name]
    assert loss(POS + 1, NEG, 1.0) < loss(POS, NEG, 1.0) < loss(POS, NEG + 1, 1.0)
    if name != "bce":
        assert loss(POS + 5, NEG + 5, 1.0).item() == pytest.approx(loss(POS, NEG, 1.0).item())


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_formula(name: str) -> None:
    def value(pos: Tensor, neg: Tensor) -> Tensor:
        return LOSSES[name](pos, neg, 0.5)

    assert torch.autograd.gradcheck(value, (POS.clone().requires_grad_(), NEG.requires_grad_()))


def test_l2_is_half_the_squared_norm_per_training_pair() -> None:
    users = Chosen(torch.tensor([[1.0, 2.0], [9.0, 9.0], [0.0, 3.0]]), torch.tensor([0, 2]))
    items = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    chosen = Chosen(items, torch.tensor([[0, 1, 1], [1, 0, 0]]))
    squares = (1 + 4 + 9) + (4 + 2 + 2) + (2 + 4 + 4)
    assert l2(users, chosen).item() == pytest.approx(squares / (2 * 2))
    assert l2(users).item() == pytest.approx(14 / 4)


@pytest.mark.parametrize("num_rows", [3, 40])
def test_rows_that_are_counted_have_the_gradient_of_rows_that_are_gathered(num_rows: int) -> None:
    rng = torch.Generator().manual_seed(0)
    table = torch.randn(num_rows, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(num_rows, (5, 3), generator=rng)
    assert torch.autograd.gradcheck(lambda table: l2(Chosen(table, ids)), table)
    expected = (table[ids] ** 2).sum() / (2 * 5)
    torch.testing.assert_close(l2(Chosen(table, ids)), expected)
