"""What is left out in training: how often, how much, and what remains."""

import numpy as np
import pytest
import torch

from graphrec.core.errors import ConfigError
from graphrec.graphs import EdgeDrop
from graphrec.nn.projection import Projection, modality_mask
from tests.graphs.dense import normalised_adjacency
from tests.models.cases import interactions_of, random_interactions

TRAIN = random_interactions(9, 12, share=0.4, seed=0)
KINDS = pytest.mark.parametrize("kind", ["uniform", "degree"])


def rng_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@KINDS
def test_the_kept_graph_is_normalised_by_its_own_degrees(kind: str) -> None:
    drop = EdgeDrop(TRAIN, 0.6, kind)
    graph, kept = drop.draw(rng_of(1)), drop.sample(rng_of(1)).numpy()
    assert len(kept) == len(set(kept)) == len(TRAIN) - round(0.6 * len(TRAIN))
    expected = normalised_adjacency(TRAIN.select(kept))
    np.testing.assert_allclose(graph.product(torch.eye(21)), expected, atol=1e-7)


@KINDS
def test_the_generator_alone_decides_the_edges(kind: str) -> None:
    drop = EdgeDrop(TRAIN, 0.5, kind)
    state = torch.random.get_rng_state()
    first, again, other = (drop.sample(rng_of(seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def literal_probability(weights: list[float], kept: set[int]) -> float:
    """Of keeping exactly these edges, drawn one after the other without replacement."""
    if not kept:
        return 1.0
    return sum(
        weights[edge]
        / sum(weights)
        * literal_probability(
            [0.0 if other == edge else weight for other, weight in enumerate(weights)],
            kept - {edge},
        )
        for edge in kept
        if weights[edge]
    )


@KINDS
def test_edges_are_kept_as_often_as_their_degrees_say(kind: str) -> None:
    """Degrees of users 3, 1, 1 and of items 2, 1, 2."""
    pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 2)]
    degrees = [(3, 2), (3, 1), (3, 2), (1, 2), (1, 2)]
    weights = [1.0 if kind == "uniform" else 1 / np.sqrt(u * i) for u, i in degrees]
    drop = EdgeDrop(interactions_of(pairs, 3, 3), 0.6, kind)
    rng, draws = rng_of(0), 4000
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(draws):
        kept = tuple(drop.sample(rng).tolist())
        counts[kept] = counts.get(kept, 0) + 1
    assert len(counts) == 10
    for kept, count in counts.items():
        expected = literal_probability(weights, set(kept))
        assert abs(count / draws - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


def test_a_pair_given_twice_is_one_edge() -> None:
    drop = EdgeDrop(interactions_of([(0, 0), (1, 1), (0, 0), (1, 0)], 2, 2), 0.34, "degree")
    assert drop.num_kept == 2
    torch.testing.assert_close(drop.inverse, torch.tensor([2.0, 4.0, 2.0]).sqrt())


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_drops_nothing_or_everything_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"edge_drop = {share} drops \d of 4 edges"):
        EdgeDrop(interactions_of([(0, 0), (1, 1), (2, 2), (1, 2)], 3, 3), share, "uniform")


def test_a_projection_masks_columns_in_training_only() -> None:
    projection, rows = Projection(5, 3, 0.4, rng_of(0)), torch.randn(4, 5, generator=rng_of(1))
    plain = rows @ projection.weight.T + projection.bias
    torch.testing.assert_close(projection(rows), plain)  # nothing has been drawn
    projection.draw(rng_of(2))
    columns = (torch.rand(5, generator=rng_of(2)) >= 0.4) / 0.6
    assert 0 < (columns == 0).sum() < 5
    masked = (rows * columns) @ projection.weight.T + projection.bias
    torch.testing.assert_close(projection(rows), masked)
    torch.testing.assert_close(projection.eval()(rows), plain)


def test_a_masked_column_teaches_nothing_and_its_mean_is_the_column() -> None:
    projection, rng = Projection(4, 2, 0.25, rng_of(0)), rng_of(3)
    projection.draw(rng)
    projection(torch.ones(3, 4)).sum().backward()
    assert torch.equal(projection.weight.grad == 0, (projection.kept == 0).expand(2, 4))
    total = torch.zeros(4)
    for _ in range(2000):
        projection.draw(rng)
        total += projection.kept
    torch.testing.assert_close(total / 2000, torch.ones(4), rtol=0, atol=0.06)
    assert set(projection.state_dict()) == {"weight", "bias"}


def test_a_modality_goes_with_its_probability_and_one_always_stays() -> None:
    """Of n present all go with p^n; then each stays with 1 / n."""
    share, times = 0.7, 6000
    rows = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = torch.stack([modality_mask(rows, share) for _ in range(times)])
    assert not kept[:, ~rows].any()
    assert kept[:, :3].any(dim=2).all()
    assert kept[:, 2, 1].all()
    for row, count in ((0, 3), (1, 2)):
        expected = (1 - share) + share**count / count
        often = kept[:, row, rows[row]].float().mean(dim=0)
        torch.testing.assert_close(often, torch.full((count,), expected), rtol=0, atol=0.03)
    both = kept[:, 1, [0, 2]].all(dim=1).float().mean().item()
    assert both == pytest.approx((1 - share) ** 2, abs=0.02)
