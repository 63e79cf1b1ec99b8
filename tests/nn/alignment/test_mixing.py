"""Noise and mixing: how much, for whom, and from which random numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from graphrec.data.features import FixedRows
from graphrec.features.content.rows import TrainableRows
from graphrec.models.modality_attention_gcn.content import NoisyRows
from graphrec.nn.alignment.mixing import feature_noise, mixed
from tests.nn.alignment.literal import FILLERS, tokens_and_mask


def rng_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_has_its_share_of_the_deviation_of_each_column() -> None:
    """Item 0 is missing and far away; the last column is constant among the others."""
    rows = torch.randn(50, 4, generator=rng_of(0)) * torch.tensor([1.0, 10.0, 0.1, 0.0]) + 3
    rows[0] = 1e6
    present = torch.arange(50) > 0
    draws = torch.stack([feature_noise(rows, present, 0.5, rng_of(seed)) for seed in range(200)])
    expected = 0.5 * rows[1:].double().numpy().std(axis=0)
    found = draws.double().numpy()
    np.testing.assert_allclose(found.std(axis=(0, 1)), expected, rtol=0.03, atol=1e-6)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 0, atol=0.05 * expected.max())
    assert not draws[..., 3].any()
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0, 1], draws[0, 2])


@pytest.mark.parametrize("known", [0, 1])
def test_noise_without_a_deviation_is_zero(known: int) -> None:
    rows = torch.randn(5, 3, generator=rng_of(0))
    noise = feature_noise(rows, torch.arange(5) < known, 0.5, rng_of(1))
    assert noise.shape == rows.shape
    assert not noise.any()


def test_the_generator_alone_decides_the_noise_in_its_precision() -> None:
    rows, present = torch.randn(5, 3, generator=rng_of(0)), torch.ones(5).bool()
    state = torch.random.get_rng_state()
    first, again = (feature_noise(rows, present, 0.5, rng_of(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(state, torch.random.get_rng_state())
    assert feature_noise(rows.double(), present, 0.5, rng_of(1)).dtype == torch.float64


class Learning(TrainableRows):
    """Rows that change from step to step, without an encoder."""

    def __init__(self, values: torch.Tensor) -> None:
        nn.Module.__init__(self)
        self.values = values

    def forward(self) -> torch.Tensor:
        return self.values


@pytest.mark.parametrize("kind", [FixedRows, Learning])
def test_rows_have_the_noise_of_the_last_draw(kind: Callable[[torch.Tensor], nn.Module]) -> None:
    """Also rows of an encoder that has learned since, which must not be those of the draw."""
    values, present = torch.randn(5, 3, generator=rng_of(0)), torch.arange(5) > 0
    content = kind(values)
    noisy = NoisyRows(content, 0.5)
    assert torch.equal(noisy(), values)
    for seed in (1, 2):
        noisy.draw(present, rng_of(seed))
        expected = values + feature_noise(values, present, 0.5, rng_of(seed))
        assert torch.equal(noisy(), expected)
    if kind is Learning:
        noise = expected - values
        content.values = values + 10
        torch.testing.assert_close(noisy(), values + 10 + noise)


def drawn(alpha: float, seed: int, num: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """The partner of each item and the part that it keeps, as ``mixed`` draws them."""
    torch.manual_seed(seed)
    others = torch.randperm(num)
    share = torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample((num,))
    return others.numpy(), torch.maximum(share, 1 - share).double().numpy()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_items_mix_in_the_modalities_that_both_have(alpha: float) -> None:
    tokens, present = tokens_and_mask()
    moved = 0
    with torch.random.fork_rng():
        for seed in range(5):
            others, parts = drawn(alpha, seed)
            torch.manual_seed(seed)
            found = mixed(tokens, present, alpha)
            for i, j in enumerate(others):
                for m in range(3):
                    expected = tokens[i, m]
                    if present[i, m] and present[j, m] and i != j:
                        expected = parts[i] * tokens[i, m] + (1 - parts[i]) * tokens[j, m]
                        moved += 1
                    torch.testing.assert_close(found[i, m], expected, rtol=0, atol=1e-7)
    assert moved > 20


def test_what_an_item_keeps_is_beta_distributed_and_the_larger_part() -> None:
    """For alpha = 2 the larger part has the mean 11/16 and the second moment of Beta(2, 2)."""
    tokens, present = torch.arange(4000.0).reshape(-1, 1, 1), torch.ones(4000, 1).bool()
    with torch.random.fork_rng():
        others, _ = drawn(2.0, 0, 4000)
        torch.manual_seed(0)
        found = mixed(tokens.double(), present, 2.0).flatten().numpy()
    own = np.arange(4000.0)
    parts = ((found - others) / (own - others))[own != others]
    assert parts.min() >= 0.5 - 1e-9
    assert parts.mean() == pytest.approx(11 / 16, abs=0.01)
    assert ((parts - 0.5) ** 2).mean() == pytest.approx(1 / 20, abs=0.005)


def test_a_modality_that_an_item_lacks_changes_neither_values_nor_gradients() -> None:
    outputs = []
    for filler in FILLERS:
        tokens, present = tokens_and_mask()
        filled = tokens.float().masked_fill(~present.unsqueeze(-1), filler).requires_grad_()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            found = mixed(filled, present, 1.0)
        (gradient,) = torch.autograd.grad(found[present].square().sum(), filled)
        assert not gradient[~present].any()
        outputs.append((found[present], gradient))
    for other in outputs[1:]:
        assert all(map(torch.equal, other, outputs[0]))


@pytest.mark.parametrize("alpha", [1e-4, 1e4])
def test_extreme_shares_are_finite(alpha: float) -> None:
    tokens, present = tokens_and_mask()
    with torch.random.fork_rng():
        found = mixed(tokens.float(), present, alpha)
    assert found.isfinite().all()
    assert found.dtype == torch.float32
