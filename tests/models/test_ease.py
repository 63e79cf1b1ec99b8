import tracemalloc

import numpy as np
import pytest
import torch

from graphrec.core.errors import ConfigError
from graphrec.data import Interactions
from graphrec.models import Inputs
from graphrec.models.ease import EASE, EASEConfig
from graphrec.nn import ease
from tests.models.cases import random_interactions

REG = 2.5


def solved(train: Interactions) -> EASE:
    model = EASE(EASEConfig(name="ease", reg=REG), Inputs(train, torch.Generator()))
    model.fit_exact()
    return model


def by_inverse(train: Interactions) -> np.ndarray:
    """Eq. 8 of the EASE paper, literally."""
    x = train.matrix.toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + REG * np.eye(train.num_items))
    b = np.empty_like(p)
    for i in range(train.num_items):
        for j in range(train.num_items):
            b[i, j] = 0.0 if i == j else -p[i, j] / p[j, j]
    return x @ b


@pytest.mark.parametrize(
    ("num_users", "num_items", "user_side"), [(20, 8, False), (8, 8, False), (8, 20, True)]
)
def test_scores_equal_the_explicit_inverse(num_users: int, num_items: int, user_side: bool) -> None:
    train = random_interactions(num_users, num_items, share=0.4, seed=2)
    model = solved(train)
    assert model.solver.user_side is user_side
    scores = model.score(torch.arange(num_users)).numpy()
    np.testing.assert_allclose(scores, by_inverse(train), atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_both_sides_give_the_same_scores_training_items_included(shape: tuple[int, int]) -> None:
    train = random_interactions(*shape, share=0.4, seed=3)
    scores = []
    for side in (False, True):
        model = EASE(EASEConfig(name="ease", reg=REG), Inputs(train, torch.Generator()))
        model.solver.user_side = side
        model.fit_exact()
        scores.append(model.score(torch.arange(shape[0])))
    taken = torch.from_numpy(train.matrix.toarray() > 0)
    assert taken.any()
    torch.testing.assert_close(scores[0][taken], scores[1][taken], rtol=0, atol=1e-5)
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_an_item_gives_itself_nothing(shape: tuple[int, int]) -> None:
    """B has a zero diagonal: a user whose only item is i gets the score 0 for i."""
    train = random_interactions(*shape, share=0.4, seed=4)
    alone = train.select(train.users != 0)
    only = Interactions(
        np.append(alone.users, np.int32(0)), np.append(alone.items, np.int32(2)), *shape
    )
    assert abs(solved(only).score(torch.tensor([0]))[0, 2].item()) < 1e-5


def test_a_user_or_item_without_interactions_scores_zero() -> None:
    for shape in ((20, 8), (8, 20)):
        scores = solved(random_interactions(*shape, share=0.4, seed=5)).score(
            torch.arange(shape[0])
        )
        assert (scores[-1].abs() < 1e-6).all()
        assert (scores[:, -1].abs() < 1e-6).all()


@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_many_blocks_give_the_scores_of_one(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = random_interactions(*shape, share=0.1, seed=6)
    whole = solved(train).score(torch.arange(shape[0]))
    monkeypatch.setattr(ease, "BLOCK_ROWS", 7)
    blocks = solved(train).score(torch.arange(shape[0]))
    torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-6)
    np.testing.assert_allclose(blocks.numpy(), by_inverse(train), atol=1e-5)


@pytest.mark.parametrize("shape", [(700, 600), (600, 700)])
def test_the_matrix_is_held_once(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Factor and inverse each had a matrix of their own: 4.6 GB where the matrix has 2.1 GB."""
    monkeypatch.setattr(ease, "BLOCK_ROWS", 4)
    train = random_interactions(*shape, share=0.01, seed=7)
    model = EASE(EASEConfig(name="ease", reg=REG), Inputs(train, torch.Generator()))
    tracemalloc.start()
    try:
        model.fit_exact()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.solver.weights.nbytes == 4 * 600**2
    assert peak < 1.3 * model.solver.weights.nbytes


def test_a_penalty_too_small_for_float32_is_named() -> None:
    train = Interactions(
        np.repeat(np.arange(40, dtype=np.int32), 2), np.tile([0, 1], 40).astype(np.int32), 40, 3
    )
    model = EASE(EASEConfig(name="ease", reg=1e-30), Inputs(train, torch.Generator()))
    with pytest.raises(ConfigError, match=r"model\.reg = 1e-30 is too small.*Raise it"):
        model.fit_exact()
