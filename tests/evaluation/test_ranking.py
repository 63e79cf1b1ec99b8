"""Ranking: tie rule, masks, block-size independence; evaluation against slow oracles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Interactions
from graphrec.evaluation import PRESETS, Ranking, evaluate, rank, warm_cold
from graphrec.evaluation import ranking as module
from graphrec.evaluation.ranking import Scorer
from tests import oracles

GRAPHREC = PRESETS["graphrec"]


def interactions(pairs: list[tuple[int, int]], num_users: int, num_items: int) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1], num_users, num_items)


def scorer_of(scores: list[list[float]]) -> Scorer:
    table = torch.tensor(scores)
    return lambda users: table[users]


def inner_product(num_users: int, num_items: int, dim: int, seed: int = 0) -> Scorer:
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(num_users, dim, generator=generator)
    items = torch.randn(num_items, dim, generator=generator)
    return lambda chosen: users[chosen] @ items.T


def everyone(num_users: int) -> np.ndarray:
    return np.arange(num_users, dtype=np.int32)


def rank_rows(scores: list[list[float]], k: int, masked: list[Interactions]) -> Ranking:
    return rank(scorer_of(scores), everyone(len(scores)), masked, k, len(scores[0]))


@pytest.mark.parametrize(
    ("scores", "k", "expected"),
    [
        ([1.0, 3.0, 2.0], 2, [1, 2]),
        ([0.0, 0.0, 0.0, 0.0], 2, [0, 1]),
        ([1.0, 2.0, 1.0, 2.0, 1.0], 3, [1, 3, 0]),
        ([1.0, 1.0, 5.0, 1.0, 1.0], 4, [2, 0, 1, 3]),
        ([2.0, 1.0, 2.0], 3, [0, 2, 1]),
        ([0.0, -0.0, 0.0, -0.0], 3, [0, 1, 2]),
        ([-0.0, 0.0, -0.0, 0.0], 4, [0, 1, 2, 3]),
        ([1e30, -1e30, 1e30], 1, [0]),
    ],
)
def test_equal_scores_are_ranked_by_ascending_id(
    scores: list[float], k: int, expected: list[int]
) -> None:
    assert rank_rows([scores], k, []).items.tolist() == [expected]


def test_masked_items_never_appear_and_short_lists_end_in_minus_one() -> None:
    masked = [interactions([(0, 0), (1, 2)], 2, 4), interactions([(0, 3), (0, 1)], 2, 4)]
    ranking = rank_rows([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 9.0, 1.0]], 3, masked)
    assert ranking.items.tolist() == [[2, -1, -1], [0, 1, 3]]
    assert ranking.scores[0].tolist() == [2.0, -np.inf, -np.inf]
    assert ranking.items.dtype == np.int32
    assert ranking.scores.dtype == np.float32


def test_items_scored_minus_infinity_are_never_recommended() -> None:
    assert rank_rows([[-torch.inf, 1.0, -torch.inf]], 2, []).items.tolist() == [[1, -1]]


def test_expanded_scores_of_a_popularity_model_can_be_masked() -> None:
    popularity = torch.tensor([3.0, 2.0, 1.0])
    masked = [interactions([(0, 0)], 2, 3)]
    ranking = rank(lambda users: popularity.expand(len(users), 3), everyone(2), masked, 1, 3)
    assert ranking.items.tolist() == [[1], [0]]
    assert popularity.tolist() == [3.0, 2.0, 1.0]


def test_negative_zero_is_stored_as_zero() -> None:
    assert not np.signbit(rank_rows([[-0.0, -0.0, 0.0]], 2, []).scores).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_type_can_be_ranked(dtype: torch.dtype) -> None:
    table = torch.tensor([[0.5, 2.0, 1.0]], dtype=dtype)
    assert rank(lambda users: table[users], everyone(1), [], 2, 3).items.tolist() == [[1, 2]]


SCORES = st.lists(
    st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6),
    min_size=1,
    max_size=5,
)


@settings(max_examples=80, deadline=None)
@given(SCORES, st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5))), st.integers(1, 6))
def test_ranking_equals_a_full_sort(
    scores: list[list[float]], masked: set[tuple[int, int]], k: int
) -> None:
    pairs = [(user, item) for user, item in masked if user < len(scores)]
    ranking = rank_rows(scores, k, [interactions(pairs, len(scores), 6)])
    for user, row in enumerate(scores):
        expected = oracles.ranked(row, {item for owner, item in pairs if owner == user}, k)
        assert ranking.items[user].tolist() == expected + [-1] * (k - len(expected))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_result_depends_on_neither_block_size_nor_company(
    monkeypatch: pytest.MonkeyPatch, num_threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    num_users, num_items = 301, 400
    scorer = inner_product(num_users, num_items, 64)
    masked = [interactions([(u, (7 * u) % num_items) for u in range(num_users)], 301, 400)]
    row_bytes = module.BYTES_PER_SCORE * num_items
    whole = rank(scorer, everyone(num_users), masked, 20, num_items)
    try:
        for rows in (1, 33, 64, 150, 255):
            part = rank(
                scorer, everyone(num_users), masked, 20, num_items, memory_bytes=rows * row_bytes
            )
            assert np.array_equal(part.items, whole.items)
            assert np.array_equal(part.scores, whole.scores)
        for users in (np.array([300]), np.array([5, 0, 299]), np.arange(40, 300)):
            part = rank(scorer, users, masked, 20, num_items)
            assert np.array_equal(part.items, whole.items[users])
            assert np.array_equal(part.scores, whole.scores[users])
    finally:
        torch.set_num_threads(before)


def test_every_block_has_the_same_shape_within_the_memory() -> None:
    seen: list[int] = []

    def scorer(users: torch.Tensor) -> torch.Tensor:
        seen.append(len(users))
        return torch.zeros(len(users), 10)

    memory = 40 * 10 * module.BYTES_PER_SCORE
    blocks: list[slice] = []
    rank(
        scorer,
        everyone(100),
        [],
        3,
        10,
        memory_bytes=memory,
        on_block=lambda b, _: blocks.append(b),
    )
    assert seen == [40, 40, 40]
    assert blocks == [slice(0, 40), slice(40, 80), slice(80, 100)]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_name_the_first_user(bad: float) -> None:
    scores = [[1.0, 2.0], [1.0, bad], [bad, 0.0]]
    with pytest.raises(DataError, match="scores of user 1 hold NaN or"):
        rank_rows(scores, 1, [])


def test_k_beyond_the_catalogue_is_refused() -> None:
    with pytest.raises(ConfigError, match="best 4 items: the catalogue has 3"):
        rank_rows([[1.0, 2.0, 3.0]], 4, [])


@pytest.mark.parametrize(
    "scores", [torch.zeros(256, 4), torch.zeros(3), torch.zeros(256, 3, dtype=torch.int64)]
)
def test_scorer_of_wrong_shape_or_type_is_refused(scores: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"must return floating point scores \[256, 3\]"):
        rank(lambda _: scores, everyone(1), [], 1, 3)


# Two users and five items. User 0: list 4 3 2 0; user 1: list 0 1 2 4.
TWO = scorer_of([[0.1, 9.0, 0.3, 0.5, 0.7], [0.9, 0.8, 0.7, 5.0, 0.1]])
TRAIN = interactions([(0, 1), (1, 3)], 2, 5)
TRUTH = interactions([(0, 4), (0, 2), (1, 2)], 2, 5)


def test_evaluation_equals_hand_computed_fractions() -> None:
    names = ["recall", "map", "coverage@1", "auc"]
    result = evaluate(TWO, TRUTH, [TRAIN], TRAIN, GRAPHREC, names, (1, 3))
    assert list(result.metrics) == ["recall@1", "recall@3", "map@1", "map@3", "coverage@1", "auc"]
    assert result.ranking.items.tolist() == [[4, 3, 2], [0, 1, 2]]
    assert result.metrics["recall@1"] == pytest.approx((1 / 2 + 0) / 2)
    assert result.metrics["recall@3"] == 1
    assert result.metrics["map@3"] == pytest.approx((1 / 2 * (1 + 2 / 3) + 1 / 3) / 2)
    assert result.metrics["coverage@1"] == 2 / 5
    assert result.metrics["auc"] == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert result.per_user["recall@1"].tolist() == [1 / 2, 0]
    assert result.users.tolist() == [0, 1]
    assert result.num_users == 2


def test_only_users_with_relevant_items_are_measured_but_all_asked_for_are_ranked() -> None:
    truth = interactions([(1, 2)], 2, 5)
    asked = np.array([1, 0])
    result = evaluate(TWO, truth, [TRAIN], TRAIN, GRAPHREC, ["mrr", "auc"], (3,), users=asked)
    assert result.ranking.users.tolist() == [1, 0]
    assert result.users.tolist() == [1]
    assert result.metrics["mrr@3"] == pytest.approx(1 / 3)
    assert result.metrics["auc"] == pytest.approx(1 / 3)
    default = evaluate(TWO, truth, [TRAIN], TRAIN, GRAPHREC, ["mrr"], (3,))
    assert default.ranking.users.tolist() == [1]


def test_min_length_makes_longer_lists_without_changing_a_metric() -> None:
    short = evaluate(TWO, TRUTH, [TRAIN], TRAIN, GRAPHREC, ["ndcg"], (2,))
    longer = evaluate(TWO, TRUTH, [TRAIN], TRAIN, GRAPHREC, ["ndcg"], (2,), min_length=4)
    assert longer.ranking.items.shape == (2, 4)
    assert longer.metrics == short.metrics


def test_end_of_a_short_list_is_no_hit() -> None:
    truth = interactions([(0, 2), (1, 0)], 2, 3)
    masked = interactions([(1, 1), (1, 2)], 2, 3)
    scorer = scorer_of([[1.0, 2.0, 3.0]] * 2)
    result = evaluate(scorer, truth, [masked], masked, GRAPHREC, ["precision"], (3,))
    assert result.ranking.items[1].tolist() == [0, -1, -1]
    assert result.per_user["precision@3"].tolist() == [1 / 3, 1 / 3]


def test_protocols_that_mask_train_only_keep_valid_items_as_candidates() -> None:
    train, valid = interactions([(0, 1)], 1, 4), interactions([(0, 2)], 1, 4)
    truth = interactions([(0, 3)], 1, 4)
    scorer = scorer_of([[0.0, 9.0, 8.0, 7.0]])
    found = {}
    for name in ("graphrec", "recbole", "ngcf", "mmrec", "lattice"):
        masked = PRESETS[name].masks("test", train, valid)
        result = evaluate(scorer, truth, masked, train, PRESETS[name], ["hit"], (1,))
        found[name] = result.metrics["hit@1"]
    assert found == {"graphrec": 1, "recbole": 1, "ngcf": 0, "mmrec": 0, "lattice": 0}


@settings(max_examples=60, deadline=None)
@given(SCORES, st.lists(st.sampled_from(["none", "mask", "true"]), min_size=30, max_size=30))
def test_auc_equals_its_slow_oracle(scores: list[list[float]], roles: list[str]) -> None:
    num_users = len(scores)
    role = {(user, item): roles[6 * user + item] for user in range(num_users) for item in range(6)}
    role[0, 0] = "true"
    truth = interactions([pair for pair, name in role.items() if name == "true"], num_users, 6)
    masked = interactions([pair for pair, name in role.items() if name == "mask"], num_users, 6)
    result = evaluate(scorer_of(scores), truth, [masked], truth, GRAPHREC, ["auc"], ())
    for user, found in zip(result.users.tolist(), result.per_user["auc"], strict=True):
        items = {name: {i for i in range(6) if role[user, i] == name} for name in ("true", "mask")}
        assert found == pytest.approx(oracles.auc(scores[user], items["true"], items["mask"]))


def test_constant_scores_have_auc_one_half_and_perfect_ones_have_one() -> None:
    truth = interactions([(0, 1), (0, 2)], 1, 5)
    for scores, expected in (
        ([1.0] * 5, 0.5),
        ([0, 8.0, 9.0, 1, 2], 1.0),
        ([3.0, 1, 2, 3, 3], 0.0),
    ):
        result = evaluate(scorer_of([scores]), truth, [], truth, GRAPHREC, ["auc"], ())
        assert result.metrics["auc"] == expected


def test_relevant_but_masked_pair_is_refused_by_name() -> None:
    masked = interactions([(1, 2)], 2, 5)
    with pytest.raises(DataError, match="Item 2 is relevant for user 1 but masked"):
        evaluate(TWO, TRUTH, [TRAIN, masked], TRAIN, GRAPHREC, ["hit"], (1,))


def test_nothing_to_measure_is_refused() -> None:
    empty = interactions([], 2, 5)
    with pytest.raises(DataError, match="None of the 0 ranked users has a relevant item"):
        evaluate(TWO, empty, [TRAIN], TRAIN, GRAPHREC, ["hit"], (1,))


def test_unscored_relevant_item_has_no_auc() -> None:
    truth = interactions([(0, 0)], 1, 2)
    scorer = scorer_of([[-torch.inf, 1.0]])
    with pytest.raises(DataError, match="Item 0 of user 0 is relevant but scored -inf"):
        evaluate(scorer, truth, [], truth, GRAPHREC, ["auc"], ())


def test_warm_and_cold_items_are_measured_on_the_same_lists() -> None:
    train = interactions([(0, 1), (1, 3), (1, 4)], 2, 5)
    result = evaluate(TWO, TRUTH, [TRAIN], train, GRAPHREC, ["recall", "auc"], (1, 3))
    groups = warm_cold(result, TRUTH, train, GRAPHREC)
    assert groups == {
        "all": {"num_users": 2, "recall@1": 0.25, "recall@3": 1.0},
        "warm": {"num_users": 1, "recall@1": 1.0, "recall@3": 1.0},
        "cold": {"num_users": 2, "recall@1": 0.0, "recall@3": 1.0},
    }


def test_group_without_users_has_no_metrics() -> None:
    result = evaluate(TWO, TRUTH, [TRAIN], TRUTH, GRAPHREC, ["hit"], (1,))
    assert warm_cold(result, TRUTH, TRUTH, GRAPHREC)["cold"] == {"num_users": 0}
