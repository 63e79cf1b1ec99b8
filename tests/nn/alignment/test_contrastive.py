import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.nn.alignment.contrastive import infonce
from tests.nn.alignment import literal
from tests.nn.alignment.literal import FILLERS, tokens_and_mask


@pytest.mark.parametrize("num_views", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_follows_the_formula_item_by_item(num_views: int, temperature: float) -> None:
    views, present = tokens_and_mask(15, num_views)
    expected = literal.infonce(views.numpy(), present.numpy(), temperature)
    assert expected > 0.01
    assert infonce(views, present, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_two_items_with_views_at_right_angles() -> None:
    """Each direction is -log(e^{1/t} / (e^{1/t} + 1)), whatever the lengths."""
    views = torch.eye(2).unsqueeze(1).repeat(1, 2, 1) * torch.tensor([[[3.0], [0.5]]])
    found = infonce(views, torch.ones(2, 2).bool(), 0.5)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)


def swapped() -> Tensor:
    """All modalities of items 0 and 2 belong to the other one."""
    views, _ = tokens_and_mask()
    views = views.mean(dim=1, keepdim=True).repeat(1, 3, 1)
    views[[0, 2], 1:] = views[[2, 0], 1:]
    return views


def test_agreement_costs_less_than_confusion() -> None:
    everyone = torch.ones(9, 3).bool()
    agreeing = swapped()
    agreeing[:, 1:] = agreeing[:, :1]
    assert infonce(agreeing, everyone, 0.2) < infonce(swapped(), everyone, 0.2)


def test_a_view_that_an_item_lacks_changes_neither_value_nor_gradient() -> None:
    outputs = []
    for filler in FILLERS:
        views, present = tokens_and_mask()
        filled = views.float().masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        value = infonce(filled, present, 0.2)
        (gradient,) = torch.autograd.grad(value, filled)
        assert not gradient[~present].any()
        assert gradient[0].any()
        outputs.append((value, gradient))
    for other in outputs[1:]:
        assert all(map(torch.equal, other, outputs[0]))


@pytest.mark.parametrize("num_items", [0, 1])
def test_fewer_than_two_items_with_both_views_are_zero_with_zero_gradients(num_items: int) -> None:
    """A mean over nothing is 0/0."""
    views, present = tokens_and_mask(num=2)
    present[num_items:, 0] = False
    present[:num_items] = True
    value = infonce(views.requires_grad_(), present, 0.2)
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, views)
    assert np.array_equal(gradient.numpy(), np.zeros((9, 2, 4)))


def test_views_of_zeros_give_no_nan() -> None:
    """A direction has no gradient at zero."""
    views = torch.zeros(4, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(infonce(views, torch.ones(4, 2).bool(), 0.2), views)
    assert gradient.isfinite().all()
