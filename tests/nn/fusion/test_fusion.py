import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.nn.fusion import FUSIONS, Fusion
from tests.nn.fusion.literal import LITERAL

every_fusion = pytest.mark.parametrize("name", FUSIONS)
SHARES = [name for name in FUSIONS if name not in ("sum", "gate")]
"""Fusions whose weights share 1 among the modalities of an item."""


def made(name: str, num_modalities: int = 3, dim: int = 4) -> Fusion:
    return FUSIONS[name](num_modalities, dim, torch.Generator().manual_seed(0)).double()


def shaken(name: str, num_modalities: int = 3, dim: int = 4) -> Fusion:
    """Give every entry of every parameter a value of its own."""
    fusion = made(name, num_modalities, dim)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
    return fusion


def tokens_and_mask(
    num_items: int = 10, num_modalities: int = 3, dim: int = 4
) -> tuple[Tensor, Tensor]:
    """Item 0 has everything, item 1 nothing."""
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randn(num_items, num_modalities, dim, generator=rng, dtype=torch.float64)
    present = torch.rand(num_items, num_modalities, generator=rng) < 0.5
    present[0], present[1] = True, False
    return tokens, present


def both(fusion: Fusion, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    return fusion(tokens, present), fusion.modality_weights(tokens, present)


def test_every_fusion_has_a_literal_formula() -> None:
    assert LITERAL.keys() == FUSIONS.keys()


@every_fusion
@pytest.mark.parametrize(
    ("num_modalities", "dim"), [(3, 4), (1, 4), (2, 8), (5, 6), (5, 1), (1, 1)]
)
def test_vectors_and_weights_follow_the_formula_item_by_item(
    name: str, num_modalities: int, dim: int
) -> None:
    fusion = shaken(name, num_modalities, dim)
    tokens, present = tokens_and_mask(10, num_modalities, dim)
    state = {key: value.numpy() for key, value in fusion.state_dict().items()}
    fused, weights = both(fusion, tokens, present)
    assert fused.shape == (10, dim)
    assert weights.shape == (10, num_modalities)
    for item, row in enumerate(fused.detach().numpy()):
        own = {m: tokens[item, m].numpy() for m in range(num_modalities) if present[item, m]}
        vector, shares = LITERAL[name](own, num_modalities, state, "") if own else (0.0, {})
        np.testing.assert_allclose(row, np.broadcast_to(vector, dim), atol=1e-12)
        expected = [shares.get(m, 0.0) for m in range(num_modalities)]
        np.testing.assert_allclose(weights[item].detach(), expected, atol=1e-12)


@every_fusion
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_missing_tokens_change_neither_values_nor_gradients(name: str, dtype: torch.dtype) -> None:
    """A masked entry that still enters a sum, a maximum or a gradient."""
    fusion, (tokens, present) = shaken(name).to(dtype), tokens_and_mask()
    outputs = []
    for filler in (0.0, 1e8, -1e8, torch.finfo(dtype).max):
        fusion.zero_grad()
        filled = tokens.to(dtype).masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        fused, weights = both(fusion, filled, present)
        fused.square().sum().backward()
        assert filled.grad is not None
        assert (filled.grad[~present] == 0).all()
        gradients = [parameter.grad for parameter in fusion.parameters()]
        outputs.append([fused, weights, filled.grad, *gradients])
    for other in outputs[1:]:
        for actual, expected in zip(other, outputs[0], strict=True):
            assert torch.equal(actual, expected)


@every_fusion
def test_an_item_with_nothing_is_zero_with_finite_gradients(name: str) -> None:
    fusion, (tokens, present) = shaken(name), tokens_and_mask()
    tokens.requires_grad_()
    nobody = torch.zeros_like(present)
    fused, weights = both(fusion, tokens, nobody)
    assert not fused.any()
    assert not weights.any()
    (fused.sum() + fusion(tokens, present).sum()).backward()
    assert all(leaf.grad.isfinite().all() for leaf in (tokens, *fusion.parameters()))


@every_fusion
def test_items_do_not_see_each_other(name: str) -> None:
    fusion, (tokens, present) = shaken(name), tokens_and_mask()
    one_by_one = [fusion(tokens[[item]], present[[item]]) for item in range(10)]
    torch.testing.assert_close(torch.cat(one_by_one), fusion(tokens, present))


@every_fusion
def test_single_precision_stays_single_and_agrees(name: str) -> None:
    """A constant or a mask in double that lifts everything after it."""
    fusion, (tokens, present) = shaken(name), tokens_and_mask()
    expected = both(fusion, tokens, present)
    found = both(fusion.float(), tokens.float(), present)
    for single, double in zip(found, expected, strict=True):
        assert single.dtype == torch.float32
        assert double.dtype == torch.float64
        torch.testing.assert_close(single, double.float(), rtol=1e-4, atol=1e-5)


@every_fusion
def test_two_modalities_teach_every_parameter(name: str) -> None:
    """A softmax over one entry is 1: whatever makes its energy would never learn."""
    fusion, (tokens, present) = shaken(name, 2, 8), tokens_and_mask(10, 2, 8)
    tokens.requires_grad_()
    fusion(tokens, present).square().sum().backward()
    for key, parameter in fusion.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 1e-6, key


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("num_modalities", [1, 2, 5])
def test_weights_share_one_among_the_present(name: str, num_modalities: int) -> None:
    fusion = shaken(name, num_modalities)
    tokens, present = tokens_and_mask(10, num_modalities)
    weights = fusion.modality_weights(tokens, present)
    assert torch.equal(weights > 0, present)
    torch.testing.assert_close(weights.sum(dim=1), present.any(dim=1).double())


@every_fusion
def test_weights_are_for_reports_and_keep_nothing_for_a_gradient(name: str) -> None:
    assert not shaken(name).modality_weights(*tokens_and_mask()).requires_grad


@every_fusion
@pytest.mark.parametrize("num_modalities", [1, 3])
def test_how_tokens_lie_in_memory_changes_nothing(name: str, num_modalities: int) -> None:
    fusion, (tokens, present) = shaken(name, num_modalities), tokens_and_mask(10, num_modalities)
    by_modality = tokens.transpose(0, 1).contiguous().transpose(0, 1)
    pairs = zip(both(fusion, tokens, present), both(fusion, by_modality, present), strict=True)
    for actual, expected in pairs:
        torch.testing.assert_close(actual, expected)


@every_fusion
def test_tokens_of_zeros_give_no_nan(name: str) -> None:
    """Shares of nothing are 0/0, and a norm has no gradient at zero."""
    fusion, (_, present) = shaken(name), tokens_and_mask()
    tokens = torch.zeros(10, 3, 4, dtype=torch.float64, requires_grad=True)
    fused, weights = both(fusion, tokens, present)
    fused.sum().backward()
    assert fused.isfinite().all()
    assert weights.isfinite().all()
    assert all(leaf.grad.isfinite().all() for leaf in (tokens, *fusion.parameters()))


@every_fusion
def test_the_generator_alone_decides_the_parameters(name: str) -> None:
    torch.manual_seed(1)
    first = made(name)
    state = torch.random.get_rng_state()
    again = made(name)
    assert torch.equal(state, torch.random.get_rng_state())
    for parameter, same in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, same)


def test_concat_shifts_everyone_by_the_vector_of_a_modality_that_nobody_has() -> None:
    fusion, (tokens, present) = made("concat"), tokens_and_mask()
    present[:, 2] = False
    of_two = FUSIONS["concat"](2, 4, torch.Generator()).double()
    state = fusion.state_dict()
    state["missing"] = state["missing"][:2]
    of_two.load_state_dict({key: state[key] for key in of_two.state_dict()})
    expected = of_two(tokens[:, :2], present[:, :2])
    shift = fusion.get_parameter("missing")[2] * present.any(dim=1, keepdim=True)
    torch.testing.assert_close(fusion(tokens, present), expected + shift)


def test_weighted_starts_at_the_mean() -> None:
    inputs = tokens_and_mask()
    torch.testing.assert_close(made("weighted")(*inputs), made("mean")(*inputs))


def test_a_modality_alone_keeps_its_own_token_in_cross_attention() -> None:
    tokens, present = tokens_and_mask()
    present[:] = torch.eye(3, dtype=torch.bool)[torch.arange(10) % 3]
    assert torch.equal(shaken("cross_attention")(tokens, present), tokens[present])


def test_bilinear_keeps_small_tokens_in_single_precision() -> None:
    """1 + x - 1 would leave two digits of x = 1e-6."""
    fusion, (tokens, present) = shaken("bilinear"), tokens_and_mask()
    small = 1e-6 * tokens
    expected = fusion(small, present)
    found = fusion.float()(small.float(), present)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-10)
