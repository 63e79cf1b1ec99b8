"""Which terms there are, of which items, and with which weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.models.modality_attention_gcn import terms
from graphrec.models.modality_attention_gcn.config import AlignmentConfig
from graphrec.models.modality_attention_gcn.terms import AlignmentTerms, Step
from tests.nn.alignment import literal
from tests.nn.alignment.literal import tokens_and_mask

NAMES = ("audio", "image", "text")


def made(normalize: bool = False, **settings: str | float) -> AlignmentTerms:
    config = AlignmentConfig.model_validate({"name": "any", **settings})
    module = AlignmentTerms(
        config,
        NAMES,
        4,
        lambda pos, neg: torch.nn.functional.softplus(neg - pos.unsqueeze(1)).mean(),
        normalize,
        torch.Generator().manual_seed(0),
    )
    return module.double()


def step(ids: bool = True, items: Tensor | None = None) -> Step:
    """Items 0 to 7 with repeats; 8 is not in the batch, and 3 has no embedding of its own."""
    rng = torch.Generator().manual_seed(2)
    tokens, present = tokens_and_mask()
    own = torch.randn(9, 4, generator=rng, dtype=torch.float64)
    if items is None:
        items = torch.cat([torch.arange(8), torch.randint(8, (8,), generator=rng)]).reshape(8, 2)
    users = torch.randn(len(items), 4, generator=rng, dtype=torch.float64)
    has_id = (torch.arange(9) != 3).unsqueeze(1)
    return Step(items, tokens, present, own if ids else None, has_id, users, users)


def test_nothing_is_added_by_default() -> None:
    assert made()(step()) == {}
    assert not list(made().parameters())


@pytest.mark.parametrize("ids", [True, False])
def test_the_contrast_takes_in_the_free_embeddings(ids: bool) -> None:
    given = step(ids)
    views, present = given.tokens[:8].numpy(), given.present[:8].numpy()
    if given.ids is not None:
        views = np.concatenate([views, given.ids[:8, None].numpy()], axis=1)
        present = np.concatenate([present, given.has_id[:8].numpy()], axis=1)
    found = made(align="infonce", align_weight=0.3, align_temperature=0.5)(given)
    assert list(found) == ["infonce"]
    expected = 0.3 * literal.infonce(views, present, 0.5)
    assert found["infonce"].item() == pytest.approx(expected, rel=1e-10)


def test_the_discrepancy_is_that_of_the_items_of_the_batch() -> None:
    given = step()
    found = made(align="mmd", align_weight=0.3)(given)
    expected = 0.3 * literal.mmd(given.tokens[:8].numpy(), given.present[:8].numpy())
    assert found == {"mmd": pytest.approx(expected, rel=1e-10)}


def test_the_weight_of_the_adversary_is_that_of_the_reversed_gradient() -> None:
    gradients = []
    for weight in (0.5, 1.5):
        given, module = step(), made(align="adversarial", align_weight=weight)
        found = module(given._replace(tokens=given.tokens.requires_grad_()))
        state = {name: value.numpy() for name, value in module.discriminator.state_dict().items()}
        tokens, present = given.tokens[:8].detach().numpy(), given.present[:8].numpy()
        expected = literal.guesses(tokens, present, state)
        assert found["adversarial"].item() == pytest.approx(expected, rel=1e-10)
        gradients.append(torch.autograd.grad(found["adversarial"], given.tokens)[0])
    torch.testing.assert_close(gradients[1], 3 * gradients[0])


def test_the_codes_are_sparse_per_token() -> None:
    given = step()
    tokens, present = given.tokens[:8].numpy(), given.present[:8].numpy()
    expected = 0.2 * np.mean([np.abs(tokens[i, m]).sum() for i, m in np.argwhere(present)])
    assert made(projection_l1=0.2)(given) == {"projection_l1": pytest.approx(expected, rel=1e-10)}
    nobody = given._replace(present=torch.zeros_like(given.present))
    assert made(projection_l1=0.2)(nobody) == {"projection_l1": 0.0}


@pytest.mark.parametrize("normalize", [True, False])
def test_each_modality_has_its_loss_with_its_weight(normalize: bool) -> None:
    given = step()
    shares = {"audio": 0.5, "image": 2.0, "text": 1.0}
    found = made(normalize, modality_loss=0.3, modality_weights=shares)(given)
    users, tokens = given.users.numpy(), given.tokens.numpy()
    if normalize:
        users = users / np.linalg.norm(users, axis=1, keepdims=True)
        tokens = tokens / np.linalg.norm(tokens, axis=2, keepdims=True)
    losses = literal.modality_losses(
        users, tokens, given.present.numpy(), given.items.numpy(), "bpr", 1.0
    )
    expected = {
        f"modality_{name}": pytest.approx(0.3 * shares[name] * loss)
        for name, loss in zip(NAMES, losses, strict=True)
    }
    assert found == expected


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_learned_weights_add_a_term_that_goes_by_the_same_weight(balance: str) -> None:
    found = []
    for weight in (0.3, 0.6):
        module, given = made(modality_loss=weight, balance=balance), step()
        with torch.no_grad():
            next(module.parameters()).copy_(torch.tensor([0.5, -0.2, 0.1]))
        users = given.users.requires_grad_()
        found.append(module(given._replace(users=users, shared=users)))
    assert list(found[0]) == ["modality_audio", "modality_image", "modality_text", balance]
    for name, value in found[0].items():
        assert value.item() != 0
        assert found[1][name].item() == pytest.approx(2 * value.item())


def test_what_items_lack_or_who_is_not_in_the_batch_changes_nothing() -> None:
    """Every term, with the largest number where there is nothing to read."""
    for align in ("infonce", "mmd", "adversarial"):
        module = made(align=align, modality_loss=0.3, balance="uncertainty", projection_l1=0.1)
        outputs = []
        for filler in literal.FILLERS:
            given = step()
            tokens = given.tokens.masked_fill(~given.present.unsqueeze(-1), filler)
            tokens[8] = filler
            tokens.requires_grad_()
            found = module(given._replace(tokens=tokens))
            total = torch.stack(list(found.values())).sum()
            gradients = torch.autograd.grad(total, [tokens, *module.parameters()])
            assert not gradients[0][8].any()
            assert not gradients[0][~given.present].any()
            outputs.append((total, *gradients))
        for other in outputs[1:]:
            assert all(map(torch.equal, other, outputs[0]))


@pytest.mark.parametrize("align", ["infonce", "mmd", "adversarial"])
def test_of_many_items_some_are_aligned(align: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost is quadratic; losses of modalities and L1 are those of all items."""
    settings = {"align": align, "modality_loss": 0.3, "projection_l1": 0.1}
    whole = made(**settings)(step())
    monkeypatch.setattr(terms, "MOST_ITEMS", 5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        some = torch.randperm(8)[:5]
        torch.manual_seed(0)
        found = made(**settings)(step())
    only = made(**settings)(step(items=some.reshape(5, 1)))
    assert found[align].item() == pytest.approx(only[align].item(), rel=1e-10)
    assert found[align].item() != pytest.approx(whole[align].item(), rel=1e-4)
    for name in whole.keys() - {align}:
        assert torch.equal(found[name], whole[name])


def test_terms_stay_in_single_precision_under_autocast() -> None:
    module = made(align="infonce", modality_loss=0.3, projection_l1=0.1).float()
    given = step()
    narrow = given._replace(
        tokens=given.tokens.bfloat16(), users=given.users.bfloat16(), ids=given.ids.float()
    )
    wide = narrow._replace(tokens=narrow.tokens.float(), users=narrow.users.float())
    expected = module(wide)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(narrow)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value)


def test_the_only_weights_are_those_of_what_is_in_use() -> None:
    shapes = {
        ("adversarial", "fixed"): {"discriminator"},
        ("mmd", "uncertainty"): {"balance"},
        ("infonce", "gradnorm"): {"balance"},
        ("infonce", "fixed"): set(),
    }
    for (align, balance), parts in shapes.items():
        module = made(align=align, modality_loss=0.1, balance=balance)
        assert {name.partition(".")[0] for name in module.state_dict()} == parts
    state = torch.random.get_rng_state()
    made(align="adversarial")
    assert torch.equal(state, torch.random.get_rng_state())
