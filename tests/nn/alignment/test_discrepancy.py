import numpy as np
import pytest
import torch

from graphrec.nn.alignment.discrepancy import mmd, squared_mmd
from tests.nn.alignment import literal
from tests.nn.alignment.literal import FILLERS, tokens_and_mask


@pytest.mark.parametrize("num", [2, 3])
def test_it_follows_the_formula_pair_by_pair(num: int) -> None:
    """Item 2 has one modality and takes part with it."""
    tokens, present = tokens_and_mask(9, num)
    expected = literal.mmd(tokens.numpy(), present.numpy())
    assert expected > 0.01
    assert mmd(tokens, present).item() == pytest.approx(expected, rel=1e-9)
    present[2] = False
    assert mmd(tokens, present).item() != pytest.approx(expected, rel=1e-3)


def test_the_bandwidth_has_no_gradient() -> None:
    """Central differences of the formula, with the mean distance held where it is."""
    tokens, _ = tokens_and_mask(5, 2)
    x, y = tokens[:, 0].clone().requires_grad_(), tokens[:3, 1]
    (gradient,) = torch.autograd.grad(squared_mmd(x, y), x)
    at, other = x.detach().numpy(), y.numpy()
    scale = literal.mean_squared_distance([*at, *other])
    for place in np.ndindex(5, 4):
        step = np.zeros((5, 4))
        step[place] = 1e-5
        ends = [literal.squared_mmd(at + way * step, other, scale) for way in (1, -1)]
        assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_it_is_zero_for_equal_samples_and_never_negative() -> None:
    tokens, _ = tokens_and_mask(9, 2)
    x, y = tokens.unbind(dim=1)
    assert squared_mmd(x, x).item() == pytest.approx(0, abs=1e-12)
    assert squared_mmd(x, x.flip(0)).item() == pytest.approx(0, abs=1e-12)
    assert squared_mmd(x, y) > 0
    assert squared_mmd(x[:1], y[:1]) > 0
    assert squared_mmd(x + 3, y) > squared_mmd(x + 1, y) > squared_mmd(x, y)


def test_units_and_place_do_not_matter() -> None:
    tokens, _ = tokens_and_mask(9, 2)
    x, y = tokens.unbind(dim=1)
    expected = squared_mmd(x, y)
    torch.testing.assert_close(squared_mmd(100 * x, 100 * y), expected)
    far = squared_mmd((x + 1000).float(), (y + 1000).float())
    torch.testing.assert_close(far, expected.float(), rtol=1e-3, atol=0)


def test_a_modality_that_an_item_lacks_changes_neither_value_nor_gradient() -> None:
    outputs = []
    for filler in FILLERS:
        tokens, present = tokens_and_mask()
        filled = tokens.float().masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        value = mmd(filled, present)
        (gradient,) = torch.autograd.grad(value, filled)
        assert not gradient[~present].any()
        assert gradient[0].any()
        outputs.append((value, gradient))
    for other in outputs[1:]:
        assert all(map(torch.equal, other, outputs[0]))


def test_a_modality_that_nobody_has_is_zero_with_zero_gradients() -> None:
    tokens, present = tokens_and_mask(num=2)
    for side in (0, 1):
        masked = present.clone()
        masked[:, side] = False
        value = mmd(tokens.requires_grad_(), masked)
        assert value.item() == 0
        assert not torch.autograd.grad(value, tokens)[0].any()


@pytest.mark.parametrize("value", [0.0, 5.0, 1e-10])
def test_points_that_are_all_one_give_no_nan(value: float) -> None:
    """Their mean distance is zero."""
    tokens = torch.full((4, 2, 3), value, requires_grad=True)
    found = mmd(tokens, torch.ones(4, 2).bool())
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.grad(found, tokens)[0].isfinite().all()
