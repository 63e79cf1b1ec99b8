"""How far a student is from its teacher, by its formula."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphrec.training.distillation.losses import embedding_loss, score_loss

RNG = np.random.default_rng(3)
STUDENT, TEACHER = (torch.from_numpy(RNG.normal(size=(3, 5))) for _ in range(2))


def dense_score_loss(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for own, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q = [math.exp(value / temperature) for value in own]
        p = [math.exp(value / temperature) for value in theirs]
        q, p = [value / sum(q) for value in q], [value / sum(p) for value in p]
        total += sum(each * math.log(each / other) for each, other in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_score_loss_is_the_divergence_of_softened_scores(temperature: float) -> None:
    found = score_loss(STUDENT, TEACHER, temperature).item()
    assert found == pytest.approx(dense_score_loss(STUDENT, TEACHER, temperature), rel=1e-12)


def test_scores_that_differ_by_a_constant_of_the_user_cost_nothing() -> None:
    shifted = TEACHER + torch.tensor([[1.0], [-2.0], [9.0]])
    assert score_loss(shifted, TEACHER, 1.0).item() == pytest.approx(0, abs=1e-12)
    assert score_loss(STUDENT, TEACHER, 1.0).item() > 0.1


def test_a_high_temperature_gives_the_mean_squared_error_of_centred_scores() -> None:
    """Hinton et al., Section 2.1: half the mean square over the items."""
    gap = STUDENT - TEACHER
    gap = gap - gap.mean(dim=1, keepdim=True)
    expected = gap.square().mean().item() / 2
    assert score_loss(STUDENT, TEACHER, 1e4).item() == pytest.approx(expected, rel=1e-3)


def test_large_scores_do_not_overflow() -> None:
    large = (1e4 * STUDENT.float()).requires_grad_()
    value = score_loss(large, -1e4 * TEACHER.float(), 1.0)
    (gradient,) = torch.autograd.grad(value, large)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_gradients_are_those_of_the_formula() -> None:
    student = STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda own: score_loss(own, TEACHER, 2.0), (student,))


def test_the_embedding_loss_is_the_relative_squared_error_of_mapped_rows() -> None:
    student, teacher, weight = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 3)), np.ones((3, 2))
    weight[1, 0] = -0.5
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for row in range(3):
            mapped = sum(weight[row, column] * s[column] for column in range(2))
            total += (mapped - t[row]) ** 2
    tensors = (torch.from_numpy(each) for each in (student, teacher, weight))
    assert embedding_loss(*tensors, 1.7).item() == pytest.approx(total / 4 / 1.7, rel=1e-12)


def test_a_map_that_knows_nothing_costs_one() -> None:
    teacher = TEACHER * 37
    scale = float(teacher.square().sum(dim=1).mean())
    nothing = torch.zeros(5, 2, dtype=torch.float64)
    student = torch.ones(3, 2, dtype=torch.float64)
    assert embedding_loss(student, teacher, nothing, scale).item() == pytest.approx(1.0)
