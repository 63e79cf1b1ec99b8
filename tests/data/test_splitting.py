import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.data import Dataset, Interactions, split
from graphrec.data.config import SplitConfig


def dataset(
    pairs: list[tuple[int, int]],
    times: list[int] | None = None,
    parts: list[int] | None = None,
) -> Dataset:
    users, items = np.array(pairs, dtype=np.int32).T
    num_users, num_items = int(users.max()) + 1, int(items.max()) + 1
    return Dataset(
        "toy",
        Interactions(
            users, items, num_users, num_items, None if times is None else np.array(times)
        ),
        pl.Series([f"u{user}" for user in range(num_users)]),
        pl.Series([f"i{item}" for item in range(num_items)]),
        parts=None if parts is None else np.array(parts, dtype=np.int8),
    )


def grid(num_users: int, num_items: int) -> list[tuple[int, int]]:
    return [(user, item) for user in range(num_users) for item in range(num_items)]


def parts_of(data: Dataset, **settings: object) -> tuple[list[tuple[int, int]], ...]:
    result = split(data, SplitConfig.model_validate(settings))
    parts = (result.train, result.valid, result.test.open("test of the split"))
    return tuple(list(zip(p.users.tolist(), p.items.tolist(), strict=True)) for p in parts)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (10, (8, 1, 1)), (15, (11, 2, 2))],
)
def test_random_sizes_per_user(count: int, sizes: tuple[int, int, int]) -> None:
    for part, size in zip(parts_of(dataset(grid(4, count))), sizes, strict=True):
        assert np.bincount([user for user, _ in part], minlength=4).tolist() == [size] * 4


def test_random_is_a_partition_that_the_seed_decides() -> None:
    data = dataset(grid(5, 12))
    train, valid, test = parts_of(data, seed=1)
    assert sorted(train + valid + test) == grid(5, 12)
    assert parts_of(data, seed=1) == (train, valid, test)
    assert parts_of(data, seed=2) != (train, valid, test)


def test_a_ratio_of_zero_gives_an_empty_part() -> None:
    train, valid, test = parts_of(dataset(grid(3, 10)), ratios=(0.8, 0.0, 0.2))
    assert (len(train), len(valid), len(test)) == (24, 0, 6)


def test_leave_one_out_takes_the_latest_by_time() -> None:
    data = dataset([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)], times=[4, 1, 9, 7, 1, 2])
    train, valid, test = parts_of(data, kind="leave_one_out")
    assert test == [(0, 2)]
    assert valid == [(0, 3)]
    assert train == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_leave_one_out_without_times_is_seeded() -> None:
    data = dataset(grid(20, 6))
    first = parts_of(data, kind="leave_one_out")
    assert [len(part) for part in first] == [80, 20, 20]
    assert first == parts_of(data, kind="leave_one_out")
    assert first != parts_of(data, kind="leave_one_out", seed=5)


def test_temporal_user_breaks_ties_by_item_and_ignores_row_order() -> None:
    pairs = [(0, 3), (0, 1), (0, 2), (0, 0)]
    train, valid, test = parts_of(dataset(pairs, [5, 5, 5, 9]), kind="temporal_user")
    assert (train, valid, test) == ([(0, 1), (0, 2)], [(0, 3)], [(0, 0)])


def test_temporal_global_cuts_at_two_times_for_all() -> None:
    data = dataset(grid(2, 5), times=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    settings = {"kind": "temporal_global", "ratios": (0.6, 0.2, 0.2)}
    train, valid, test = parts_of(data, **settings)
    assert train == [*grid(1, 5), (1, 0)]
    assert (valid, test) == ([(1, 1), (1, 2)], [(1, 3), (1, 4)])


def test_temporal_global_keeps_one_moment_together() -> None:
    data = dataset([(0, item) for item in range(10)], times=[0, 1, 2, 3, 4, 5, 6, 7, 7, 7])
    train, valid, test = parts_of(data, kind="temporal_global")
    assert (len(train), len(valid), len(test)) == (7, 0, 3)


def test_temporal_global_with_one_moment_has_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match=r"leaves nothing to train on.*split\.ratios"):
        parts_of(dataset(grid(1, 9), times=[3] * 9), kind="temporal_global")


def test_given_follows_the_source() -> None:
    data = dataset([(0, 0), (0, 1), (0, 2)], parts=[0, 2, 1])
    assert parts_of(data, kind="given") == ([(0, 0)], [(0, 2)], [(0, 1)])


def test_missing_times_and_missing_parts_name_the_remedy() -> None:
    data = dataset(grid(2, 4))
    for kind in ("temporal_user", "temporal_global"):
        with pytest.raises(DataError, match=rf"no times, which split\.kind = '{kind}'.*data\.time"):
            parts_of(data, kind=kind)
    with pytest.raises(DataError, match=r"prescribes no split.*data\.label"):
        parts_of(data, kind="given")


def test_a_pair_in_two_parts_is_refused() -> None:
    data = dataset([(0, 0), (0, 1), (0, 0)], parts=[0, 0, 2])
    with pytest.raises(DataError, match=r"user 'u0', item 'i0'"):
        parts_of(data, kind="given")


def test_cold_users_error_drop_and_keep() -> None:
    data = dataset([(0, 0), (1, 1), (2, 0), (2, 1)], parts=[0, 2, 1, 2])
    with pytest.raises(DataError, match=r"2 users have .* first user 'u1'.*split\.cold_users"):
        parts_of(data, kind="given")
    assert parts_of(data, kind="given", cold_users="drop") == ([(0, 0)], [], [])
    step = split(data, SplitConfig(kind="given", cold_users="drop")).steps[0]
    assert (step.rows_in, step.rows_out, step.note) == (4, 1, "2 users dropped")
    kept = parts_of(data, kind="given", cold_users="keep")
    assert kept == ([(0, 0)], [(2, 0)], [(1, 1), (2, 1)])


def test_the_test_part_is_sealed_and_the_rule_is_written_down() -> None:
    result = split(dataset(grid(2, 10)), SplitConfig(seed=3))
    assert (len(result.test), result.test.openings) == (2, [])
    assert result.rule == "random(0.8/0.1/0.1, seed=3)"
