"""A fingerprint is that of everything that a number depends on."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from graphrec.data import Dataset, Interactions, SealedTest, Split

IDS = {"user_ids": pl.Series(["a", "b", "c"]), "item_ids": pl.Series(["x", "y", "z"])}


def interactions() -> Interactions:
    return Interactions(
        users=np.array([0, 1, 2], dtype=np.int32),
        items=np.array([0, 1, 1], dtype=np.int32),
        num_users=3,
        num_items=3,
        times=np.array([5, 6, 7], dtype=np.int64),
        weights=np.array([1.0, 2.0, 3.0], dtype=np.float32),
    )


def dataset(**changes: np.ndarray) -> Dataset:
    """A data set whose interactions have other ``changes``."""
    parts = np.array([0, 1, 2], dtype=np.int8)
    return Dataset("a", replace(interactions(), **changes), **IDS, parts=parts)


@pytest.mark.parametrize("name", ["users", "items", "times", "weights"])
def test_every_column_of_the_interactions_is_in_the_fingerprint(name: str) -> None:
    changed = getattr(interactions(), name).copy()
    changed[1] = 0
    assert dataset(**{name: changed}).fingerprint != dataset().fingerprint
    assert dataset(**{name: getattr(interactions(), name).copy()}).fingerprint == (
        dataset().fingerprint
    )


@pytest.mark.parametrize("name", ["times", "weights"])
def test_what_a_data_set_lacks_is_in_the_fingerprint(name: str) -> None:
    without = replace(dataset(), interactions=replace(interactions(), **{name: None}))
    assert without.fingerprint != dataset().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"user_ids": pl.Series(["a", "b", "d"])},
        {"item_ids": pl.Series(["x", "y", "w"])},
        {"parts": np.array([0, 0, 2], dtype=np.int8)},
        {"parts": None},
    ],
    ids=["user ids", "item ids", "parts", "no parts"],
)
def test_ids_and_given_parts_are_in_the_fingerprint(changes: dict[str, object]) -> None:
    assert replace(dataset(), **changes).fingerprint != dataset().fingerprint


def test_the_name_is_not_in_the_fingerprint() -> None:
    assert replace(dataset(), name="b").fingerprint == dataset().fingerprint


def pairs(user: int, item: int) -> Interactions:
    one = np.array([user], dtype=np.int32), np.array([item], dtype=np.int32)
    return Interactions(*one, num_users=3, num_items=3)


def parts(train: tuple[int, int], valid: tuple[int, int], test: tuple[int, int]) -> Split:
    return Split(pairs(*train), pairs(*valid), SealedTest(pairs(*test)), rule="given")


@pytest.mark.parametrize("part", [0, 1, 2], ids=["train", "valid", "test"])
@pytest.mark.parametrize("other", [(2, 1), (1, 2)], ids=["user", "item"])
def test_users_and_items_of_every_part_are_in_the_fingerprint(
    part: int, other: tuple[int, int]
) -> None:
    """Left out, two splits of other test users or valid pairs could share a table."""
    same, changed = [(1, 1)] * 3, [(1, 1)] * 3
    changed[part] = other
    assert parts(*same).fingerprint == parts(*same).fingerprint
    assert parts(*changed).fingerprint != parts(*same).fingerprint


def test_a_split_without_its_test_part_has_the_same_fingerprint() -> None:
    whole = parts((0, 0), (1, 1), (2, 2))
    assert whole.without_test().fingerprint == whole.fingerprint
