"""A learned row for the items without a modality."""

import numpy as np
import pytest
import torch

from graphrec.data import Features, Modality
from graphrec.features.missing import remove_and_fill
from graphrec.features.missing.token import TokenModality, TokenRows
from graphrec.graphs import nearest_items
from graphrec.models import Model
from tests.features.missing.worlds import config, world
from tests.models.cases import Case, World, batch_of, scores_of, train_briefly

NAME = "modality_attention_gcn"


@pytest.fixture(scope="module")
def tokens() -> World:
    features, train = world()
    filled, _ = remove_and_fill(features, train, config(strategy="token", modalities=("text",)))
    return World(train, train, train, filled)


def rows_of(model: Model) -> TokenRows:
    (found,) = (each for each in model.modules() if isinstance(each, TokenRows))
    return found


def test_rows_are_own_or_the_token_which_starts_at_the_mean(tokens: World) -> None:
    before, train = world()
    text, found = before["text"], tokens.features["text"]
    assert isinstance(found, TokenModality)
    assert found.present.all()
    taught = text.values[text.present & (train.item_degrees > 0)].mean(axis=0)
    rows = found.rows()
    for item, row in enumerate(rows().detach().numpy()):
        expected = text.values[item] if text.present[item] else taught
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    assert list(rows.state_dict()) == ["token"]


def test_the_token_alone_learns_and_from_all_who_lack_the_modality(tokens: World) -> None:
    rows = tokens.features["text"].rows()
    factors = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    (rows() * factors).sum().backward()
    lacking = torch.from_numpy(~world()[0]["text"].present)
    torch.testing.assert_close(rows.token.grad, factors[lacking].sum(dim=0))


def test_each_module_has_a_token_of_its_own(tokens: World) -> None:
    one, two = (tokens.features["text"].rows() for _ in range(2))
    with torch.no_grad():
        one.token += 1
    assert not torch.equal(one.token, two.token)
    assert not torch.equal(one(), two())


def test_a_model_trains_the_token_and_keeps_it_in_its_state(tokens: World) -> None:
    model = Case(NAME).build(tokens)
    start = rows_of(model).token.detach().clone()
    sum(model.loss(batch_of(tokens)).values()).backward()
    assert rows_of(model).token.grad.abs().min() > 0
    train_briefly(model, tokens, epochs=2)
    assert not torch.equal(rows_of(model).token, start)
    other = Case(NAME).build(tokens, seed=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(scores_of(other.eval(), tokens), scores_of(model.eval(), tokens))


def test_what_lies_under_a_missing_row_changes_nothing(tokens: World) -> None:
    features, train = world()
    text = features["text"]
    noisy = np.where(text.present[:, None], text.values, np.float32(77))
    given = Features({**features, "text": Modality(noisy, text.present)}, 30)
    filled, _ = remove_and_fill(given, train, config(strategy="token", modalities=("text",)))
    assert filled.fingerprint == tokens.features.fingerprint


def test_similar_items_are_sought_among_those_with_a_row_of_their_own(tokens: World) -> None:
    before, after = world()[0]["text"], tokens.features["text"]
    expected = nearest_items(before.values, before.present, 3)
    found = nearest_items(after.values, after.present, 3)
    assert np.array_equal(found.items, expected.items)


def test_the_fingerprint_is_that_of_no_other_strategy(tokens: World) -> None:
    text = tokens.features["text"]
    assert isinstance(text, TokenModality)
    zeros = Modality(text.values, text.present)
    masked = Modality(text.values, ~text.lacking)
    other_start = TokenModality(text.values, text.present, text.lacking, text.start + 1)
    fewer = TokenModality(text.values, text.present, text.lacking & False, text.start)
    prints = {each.fingerprint for each in (text, zeros, masked, other_start, fewer)}
    assert len(prints) == 5
