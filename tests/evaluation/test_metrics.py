"""Metrics against hand-computed fractions and against slow oracles."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec.core.errors import ConfigError
from graphrec.evaluation import METRICS, PRESETS, Protocol, parse_metric
from graphrec.evaluation.metrics import Lists, expand, measure
from tests import oracles

CAPPED = Protocol(name="capped", recall_denominator="min_relevant_k")
WITHOUT_AUC = [name for name in METRICS if name != "auc"]


def lists_of(
    items: list[list[int]],
    relevant: list[set[int]],
    counts: list[int],
    protocol: Protocol = PRESETS["graphrec"],
) -> Lists:
    table = np.array(items, dtype=np.int32)
    return Lists(
        items=table,
        hits=np.array([[i in t for i in row] for row, t in zip(items, relevant, strict=True)]),
        num_relevant=np.array([len(t) for t in relevant]),
        item_counts=np.array(counts),
        protocol=protocol,
    )


def value(lists: Lists, label: str) -> float:
    return measure(lists, expand([label], ()))[0][label]


# One user: list 4 0 1 2, relevant {4, 1, 3}: hits at ranks 1 and 3.
ONE = lists_of([[4, 0, 1, 2]], [{4, 1, 3}], [4, 2, 1, 0, 1])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("recall@1", Fraction(1, 3)),
        ("recall@4", Fraction(2, 3)),
        ("precision@3", Fraction(2, 3)),
        ("precision@4", Fraction(2, 4)),
        ("f1@4", 2 * Fraction(1, 2) * Fraction(2, 3) / (Fraction(1, 2) + Fraction(2, 3))),
        ("map@3", Fraction(1, 3) * (Fraction(1, 1) + Fraction(2, 3))),
        ("map@2", Fraction(1, 2) * Fraction(1, 1)),
        ("mrr@4", Fraction(1)),
        ("hit@1", Fraction(1)),
        ("accuracy@4", Fraction(1, 2)),
        ("ndcg@3", (1 + 1 / log2(4)) / (1 + 1 / log2(3) + 1 / log2(4))),
        ("ndcg@2", 1 / (1 + 1 / log2(3))),
        ("novelty@2", (log2(8) + log2(2)) / 2),
        ("popularity@4", Fraction(1 + 4 + 2 + 1, 4)),
        ("coverage@4", Fraction(4, 5)),
        ("gini@4", Fraction(1, 5)),
    ],
)
def test_hand_computed_value(label: str, expected: Fraction | float) -> None:
    assert value(ONE, label) == pytest.approx(float(expected), rel=1e-12)


def test_reciprocal_rank_is_of_the_first_hit_and_zero_beyond_k() -> None:
    lists = lists_of([[0, 1, 2]], [{2}], [1, 1, 1])
    assert value(lists, "mrr@3") == pytest.approx(1 / 3)
    assert value(lists, "mrr@2") == 0


def test_retrieved_ideal_forgives_missed_items() -> None:
    items, relevant, counts = [[4, 0, 1, 2]], [{4, 1, 3}], [1] * 5
    lenient = lists_of(items, relevant, counts, PRESETS["lattice"])
    assert value(lenient, "ndcg@1") == 1
    assert value(lenient, "ndcg@3") == pytest.approx((1 + 1 / 2) / (1 + 1 / log2(3)))
    assert value(lenient, "ndcg@3") > value(lists_of(items, relevant, counts), "ndcg@3")


def test_capped_recall_reaches_one_at_every_k() -> None:
    items, relevant = [[0, 1, 2]], [{0, 1, 2, 3}]
    assert value(lists_of(items, relevant, [1] * 4), "recall@2") == 0.5
    assert value(lists_of(items, relevant, [1] * 4, CAPPED), "recall@2") == 1


def test_accuracy_is_a_mean_over_slots_and_precision_counts_missing_ones() -> None:
    lists = lists_of([[0, -1, -1, -1], [0, 1, 2, 3]], [{0}, {0}], [1] * 4)
    means, per_user = measure(lists, expand(["accuracy", "precision"], [4]))
    assert means["accuracy@4"] == pytest.approx(2 / 5)
    assert per_user["accuracy@4"].tolist() == [1, 1 / 4]
    assert per_user["precision@4"].tolist() == [1 / 4, 1 / 4]


def test_unseen_item_counts_as_one_interaction_in_novelty() -> None:
    assert value(lists_of([[1]], [{1}], [8, 0]), "novelty@1") == log2(8)


def test_gini_is_zero_when_even_and_largest_when_always_the_same() -> None:
    assert value(lists_of([[0], [1]], [{0}, {0}], [1, 1]), "gini@1") == 0
    assert value(lists_of([[0], [0]], [{0}, {0}], [1, 1, 1, 1]), "gini@1") == 3 / 4


def test_perfect_and_worst_lists() -> None:
    best = lists_of([[0, 1, 2]], [{0, 1, 2}], [1] * 6)
    worst = lists_of([[3, 4, 5]], [{0, 1, 2}], [1] * 6)
    for name in ("recall", "precision", "f1", "ndcg", "map", "mrr", "hit", "accuracy"):
        assert value(best, f"{name}@3") == pytest.approx(1)
        assert value(worst, f"{name}@3") == 0


NUM_ITEMS = 7


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[list[int]], list[set[int]], list[int]]:
    """Lists of some of 7 items (at least length 1), relevant items, and train counts."""
    num_users = draw(st.integers(1, 4))
    order = st.permutations(range(NUM_ITEMS))
    lengths = st.integers(0, NUM_ITEMS)
    lists = [list(draw(order))[: draw(lengths)] for _ in range(num_users)]
    relevant = [draw(st.sets(st.integers(0, NUM_ITEMS - 1), min_size=1)) for _ in range(num_users)]
    counts = draw(st.lists(st.integers(0, 9), min_size=NUM_ITEMS, max_size=NUM_ITEMS))
    return lists, relevant, counts


def pad(lists: list[list[int]]) -> list[list[int]]:
    return [items + [-1] * (NUM_ITEMS - len(items)) for items in lists]


@settings(max_examples=60, deadline=None)
@given(rankings(), st.integers(1, NUM_ITEMS))
def test_metrics_equal_their_slow_oracles(
    case: tuple[list[list[int]], list[set[int]], list[int]], k: int
) -> None:
    lists, relevant, counts = case
    per_user = measure(lists_of(pad(lists), relevant, counts), expand(WITHOUT_AUC, [k]))[1]
    lenient = lists_of(pad(lists), relevant, counts, PRESETS["lattice"])
    capped = lists_of(pad(lists), relevant, counts, CAPPED)
    per_user["lenient"] = METRICS["ndcg"].compute(lenient, k)
    per_user["capped"] = METRICS["recall"].compute(capped, k)
    for n, (items, wanted) in enumerate(zip(lists, relevant, strict=True)):
        expected = {
            f"recall@{k}": oracles.recall(items, wanted, k),
            f"precision@{k}": oracles.precision(items, wanted, k),
            f"f1@{k}": oracles.f1(items, wanted, k),
            f"ndcg@{k}": oracles.ndcg(items, wanted, k),
            f"map@{k}": oracles.average_precision(items, wanted, k),
            f"mrr@{k}": oracles.reciprocal_rank(items, wanted, k),
            f"hit@{k}": oracles.hit(items, wanted, k),
            f"accuracy@{k}": oracles.accuracy(items, wanted, k),
            f"novelty@{k}": oracles.novelty(items, counts, k),
            f"popularity@{k}": oracles.popularity(items, counts, k),
            "lenient": oracles.ndcg(items, wanted, k, retrieved=True),
            "capped": oracles.recall(items, wanted, k, capped=True),
        }
        found = {label: float(values[n]) for label, values in per_user.items()}
        assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(rankings(), st.integers(1, NUM_ITEMS))
def test_means_equal_their_slow_oracles(
    case: tuple[list[list[int]], list[set[int]], list[int]], k: int
) -> None:
    lists, relevant, counts = case
    wanted = expand(WITHOUT_AUC, [k])
    means, per_user = measure(lists_of(pad(lists), relevant, counts), wanted)
    pairs = list(zip(lists, relevant, strict=True))
    slots = sum(len(items[:k]) for items in lists)
    expected = {label: float(np.mean(values)) for label, values in per_user.items()} | {
        f"accuracy@{k}": sum(oracles.hits(*pair, k) for pair in pairs) / max(slots, 1),
        f"coverage@{k}": oracles.coverage(lists, NUM_ITEMS, k),
        f"gini@{k}": oracles.gini(lists, NUM_ITEMS, k),
    }
    assert means == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(rankings())
def test_ranges_and_growth_with_k(case: tuple[list[list[int]], list[set[int]], list[int]]) -> None:
    lists, relevant, counts = case
    judged = lists_of(pad(lists), relevant, counts)
    means = measure(judged, expand(WITHOUT_AUC, range(1, NUM_ITEMS + 1)))[0]
    for label, number in means.items():
        assert number >= -1e-12, label
        assert number <= 1 + 1e-12 or label.startswith(("novelty", "popularity")), label
    for name in ("recall", "mrr", "hit", "coverage"):
        series = [means[f"{name}@{k}"] for k in range(1, NUM_ITEMS + 1)]
        assert series == sorted(series), name


def test_parse_metric_accepts_bare_names_and_cut_offs() -> None:
    assert parse_metric("recall@20") == ("recall", 20)
    assert parse_metric("ndcg") == ("ndcg", None)
    assert parse_metric("auc") == ("auc", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recal@20", "Unknown metric 'recal@20'. Did you mean 'recall'"),
        ("recall@", "'recall@': the cut-off must be a positive integer"),
        ("recall@0", "'recall@0': the cut-off must be a positive integer"),
        ("recall@-5", "'recall@-5': the cut-off must be a positive integer"),
        ("recall@2.5", "'recall@2.5': the cut-off must be a positive integer"),
        ("auc@10", "'auc@10': auc has no cut-off"),
    ],
)
def test_bad_metric_names_the_culprit(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_metric(text)


def test_expand_gives_bare_names_every_cut_off_and_keeps_own_ones() -> None:
    wanted = expand(["recall", "ndcg@50", "recall@10", "auc"], (10, 20))
    assert list(wanted) == ["recall@10", "recall@20", "ndcg@50", "auc"]


def test_metrics_of_all_lists_have_no_values_per_user() -> None:
    means, per_user = measure(ONE, expand(WITHOUT_AUC, [2]))
    assert set(means) - set(per_user) == {"coverage@2", "gini@2"}
