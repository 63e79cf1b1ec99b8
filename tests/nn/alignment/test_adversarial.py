import pytest
import torch

from graphrec.nn.alignment.adversarial import Discriminator, reverse_gradient
from tests.nn.alignment import literal
from tests.nn.alignment.literal import FILLERS, tokens_and_mask


def made(scale: float = 0.5, num: int = 3) -> Discriminator:
    """In float64, and with biases that are not zero."""
    rng = torch.Generator().manual_seed(3)
    module = Discriminator(num, 4, scale, rng).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return module


@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_reversal_keeps_the_value_and_turns_the_gradient_exactly(scale: float) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    direct = torch.autograd.grad(x.sin().square().sum(), x)[0]
    reversed_ = reverse_gradient(x, scale)
    assert torch.equal(reversed_, x)
    assert torch.equal(torch.autograd.grad(reversed_.sin().square().sum(), x)[0], -scale * direct)


@pytest.mark.parametrize("num", [2, 3])
def test_the_guesses_follow_the_formula(num: int) -> None:
    module, (tokens, present) = made(num=num), tokens_and_mask(num=num)
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = literal.guesses(tokens.numpy(), present.numpy(), state)
    assert module(tokens, present).item() == pytest.approx(expected, rel=1e-10)


def test_the_discriminator_learns_at_full_strength_and_the_tokens_against_it() -> None:
    """The scale turns the gradient of the tokens alone."""
    found = {}
    for scale in (-1.0, 0.25, 4.0):  # -1 undoes the reversal
        module, (tokens, present) = made(scale), tokens_and_mask()
        leaves = [*module.parameters(), tokens.requires_grad_()]
        found[scale] = torch.autograd.grad(module(tokens, present), leaves)
    for scale in (0.25, 4.0):
        *own, reached = found[scale]
        *plain, direct = found[-1.0]
        assert all(map(torch.equal, own, plain))
        assert torch.equal(reached, -scale * direct)
        assert direct.abs().max() > 0


def test_a_modality_that_an_item_lacks_changes_neither_value_nor_gradient() -> None:
    outputs = []
    for filler in FILLERS:
        module, (tokens, present) = made().float(), tokens_and_mask()
        filled = tokens.float().masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        value = module(filled, present)
        gradients = torch.autograd.grad(value, [filled, *module.parameters()])
        assert not gradients[0][~present].any()
        outputs.append((value, *gradients))
    for other in outputs[1:]:
        assert all(map(torch.equal, other, outputs[0]))


def test_no_token_at_all_is_zero_with_zero_gradients() -> None:
    module, (tokens, present) = made(), tokens_and_mask()
    value = module(tokens.requires_grad_(), torch.zeros_like(present))
    assert value.item() == 0
    gradients = torch.autograd.grad(value, [tokens, *module.parameters()])
    assert not any(gradient.any() for gradient in gradients)


def test_the_generator_alone_decides_the_parameters() -> None:
    state = torch.random.get_rng_state()
    first, again = (made().state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
