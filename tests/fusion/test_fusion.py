import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.fusion import FUSIONS, Fusion
from tests.fusion.literal import LITERAL

every_fusion = pytest.mark.parametrize("name", FUSIONS)


def made(name: str, num_modalities: int = 3, dim: int = 4) -> Fusion:
    return FUSIONS[name](num_modalities, dim, torch.Generator().manual_seed(0)).double()


def tokens_and_mask(num_items: int = 10) -> tuple[Tensor, Tensor]:
    """Item 0 has everything, item 1 nothing."""
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randn(num_items, 3, 4, generator=rng, dtype=torch.float64)
    present = torch.rand(num_items, 3, generator=rng) < 0.5
    present[0], present[1] = True, False
    return tokens, present


def test_every_fusion_has_a_literal_formula() -> None:
    assert LITERAL.keys() == FUSIONS.keys()


@every_fusion
def test_fused_vectors_follow_the_formula_item_by_item(name: str) -> None:
    fusion, (tokens, present) = made(name), tokens_and_mask()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter += 0.1
    state = {key: value.numpy() for key, value in fusion.state_dict().items()}
    fused, weights = fusion(tokens, present)
    assert fused.shape == (10, 4)
    assert weights.shape == (10, 3)
    for item, row in enumerate(fused.detach().numpy()):
        own = {m: tokens[item, m].numpy() for m in range(3) if present[item, m]}
        expected = LITERAL[name](own, 3, state, "") if own else np.zeros(4)
        np.testing.assert_allclose(row, expected, atol=1e-12)


@every_fusion
def test_missing_tokens_change_neither_values_nor_gradients(name: str) -> None:
    """A masked entry that still enters a sum, a maximum or a gradient."""
    fusion, (tokens, present) = made(name), tokens_and_mask()
    outputs = []
    for filler in (0.0, 1e8, -1e8):
        fusion.zero_grad()
        filled = tokens.masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        fused, weights = fusion(filled, present)
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
    fusion, (tokens, present) = made(name), tokens_and_mask()
    tokens.requires_grad_()
    nobody = torch.zeros_like(present)
    fused, weights = fusion(tokens, nobody)
    assert not fused.any()
    assert not weights.any()
    (fused.sum() + fusion(tokens, present)[0].sum()).backward()
    assert all(leaf.grad.isfinite().all() for leaf in (tokens, *fusion.parameters()))


@every_fusion
def test_items_do_not_see_each_other(name: str) -> None:
    fusion, (tokens, present) = made(name), tokens_and_mask()
    one_by_one = [fusion(tokens[[item]], present[[item]])[0] for item in range(10)]
    torch.testing.assert_close(torch.cat(one_by_one), fusion(tokens, present)[0])


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
    both = FUSIONS["concat"](2, 4, torch.Generator()).double()
    state = fusion.state_dict()
    state["missing"] = state["missing"][:2]
    both.load_state_dict({key: state[key] for key in both.state_dict()})
    expected, _ = both(tokens[:, :2], present[:, :2])
    shift = fusion.get_parameter("missing")[2] * present.any(dim=1, keepdim=True)
    torch.testing.assert_close(fusion(tokens, present)[0], expected + shift)
