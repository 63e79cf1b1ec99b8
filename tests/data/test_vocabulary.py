"""Ids are only ever appended: what was numbered keeps its number."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec import DataError, load
from graphrec.data.config import DataConfig
from graphrec.data.vocabulary import Vocabulary


def ids(*names: str) -> pl.Series:
    return pl.Series(list(names), dtype=pl.String)


def test_new_ids_follow_the_known_ones_in_their_own_order() -> None:
    first = Vocabulary.of(ids("10", "2", "2"), None, "user", "x")
    grown = first.extended(ids("7", "10", "1"), "user", "y")
    assert first.ids.to_list() == ["2", "10"]
    assert grown.ids.to_list() == ["2", "10", "1", "7"]
    assert grown.numbers_of(ids("7", "2")).tolist() == [3, 0]
    assert first.extended(ids("10"), "user", "y") is first


def test_the_fingerprint_of_a_grown_vocabulary_follows_from_parent_and_delta() -> None:
    first = Vocabulary.of(ids("a", "b"), None, "user", "x")
    grown = first.extended(ids("c"), "user", "x")
    assert grown.parent == first.fingerprint
    assert len({first.fingerprint, grown.fingerprint}) == 2
    assert grown.fingerprint == first.extended(ids("c"), "user", "x").fingerprint
    other = Vocabulary.of(ids("a", "z"), None, "user", "x").extended(ids("c"), "user", "x")
    assert other.fingerprint != grown.fingerprint
    twice = grown.extended(ids("d"), "user", "x")
    assert (twice.parent, twice.inherited) == (grown.fingerprint, 3)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (["a"], "user id 'b' had the number 1 before and has not now"),
        (["b", "a", "c"], "user id 'a' had the number 0 before"),
    ],
)
def test_a_vocabulary_that_shrinks_or_is_numbered_anew_is_refused(
    now: list[str], said: str
) -> None:
    known = Vocabulary.of(ids("a", "b"), None, "user", "x")
    with pytest.raises(DataError, match=f"new.csv: {said}.*only ever appended"):
        known.require_extended_by(Vocabulary(ids(*now)), "user", "new.csv")
    known.require_extended_by(Vocabulary(ids("a", "b", "c")), "user", "new.csv")


def test_one_number_in_two_forms_is_refused_across_both() -> None:
    known = Vocabulary.of(ids("12", "13"), None, "item", "x")
    with pytest.raises(DataError, match="12"):
        known.extended(ids("12.0"), "item", "y")


def table(path: Path, rows: str) -> DataConfig:
    path.write_text(f"user,item\n{rows}", encoding="utf-8")
    return DataConfig(path=path)


def test_later_data_keep_the_numbers_of_earlier_ones(tmp_path: Path) -> None:
    before = load(table(tmp_path / "a.csv", "b,x\nc,y\n"))
    later = load(table(tmp_path / "b.csv", "a,x\nc,w\n"), known=before)
    assert later.user_ids.to_list() == ["b", "c", "a"]
    assert later.item_ids.to_list() == ["x", "y", "w"]
    pairs = sorted(zip(later.interactions.users, later.interactions.items, strict=True))
    assert pairs == [(1, 2), (2, 0)]
    assert later.interactions.num_items == 3
    assert np.array_equal(later.interactions.user_degrees, [0, 1, 1])
    before.users.require_extended_by(later.users, "user", "b.csv")
    assert later.users.parent == before.users.fingerprint
    again = load(table(tmp_path / "c.csv", "a,q\n"), known=later)
    assert again.users is later.users or again.users.parent == later.users.parent
    assert again.items.parent == later.items.fingerprint


def test_declared_counts_hold_for_later_data_too(tmp_path: Path) -> None:
    before = load(table(tmp_path / "a.csv", "0,0\n1,1\n"))
    later = table(tmp_path / "b.csv", "7,0\n").model_copy(update={"num_users": 3})
    with pytest.raises(DataError, match=r"user id '7' is not one of 0\.\.2"):
        load(later, known=before)
