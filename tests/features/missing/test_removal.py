"""Who loses a modality: how many, who first, and that more lose it at higher rates."""

from itertools import pairwise

import numpy as np
import pytest

from graphrec.core.errors import ConfigError
from graphrec.core.rng import numpy_stream
from graphrec.data import Modality
from graphrec.features.missing.config import MissingConfig
from graphrec.features.missing.removal import losing_items, without
from tests.features.missing.worlds import config

RATES = (0.0, 0.05, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 0.99)
PRESENT = np.arange(23) % 4 != 1  # 17 of 23
DEGREES = np.arange(23) * 7 % 5


def settings(mechanism: str, rate: float, seed: int = 0) -> MissingConfig:
    if rate == 0:
        return MissingConfig()
    return config(mechanism=mechanism, rate=rate, seed=seed, modalities=("text",))


def lost(mechanism: str, rate: float, seed: int = 0, name: str = "text") -> list[int]:
    found = losing_items(name, PRESENT, DEGREES, settings(mechanism, rate, seed))
    return found.tolist()


MECHANISMS = pytest.mark.parametrize("mechanism", ["random", "popularity", "modality"])


@pytest.mark.parametrize("rate", RATES)
@MECHANISMS
def test_the_share_is_exact_and_only_those_who_have_it_lose_it(mechanism, rate):
    found = lost(mechanism, rate)
    expected = round(rate * 17)
    if mechanism == "modality":  # of all 23, and 6 lack it from the start
        expected = max(0, round(rate * 23) - 6)
    assert len(found) == len(set(found)) == expected
    assert all(PRESENT[found])


@MECHANISMS
def test_those_who_lose_it_at_one_rate_lose_it_at_all_higher_ones(mechanism):
    for lower, higher in pairwise(RATES):
        few, many = lost(mechanism, lower), lost(mechanism, higher)
        assert many[: len(few)] == few


def test_at_random_the_lowest_keys_of_the_stream_of_the_modality_lose_it():
    keys = numpy_stream(4, "missing/text").random(23)
    ranked = sorted((key, item) for item, key in enumerate(keys) if PRESENT[item])
    for mechanism, count in (("random", 5), ("modality", 1)):
        assert lost(mechanism, 0.3, seed=4) == [item for _, item in ranked[:count]]


def test_by_popularity_the_least_popular_lose_it_and_equal_ones_by_key():
    keys = numpy_stream(4, "missing/text").random(23)
    ranked = sorted((DEGREES[item], keys[item], item) for item in range(23) if PRESENT[item])
    for rate in RATES[1:]:
        expected = [item for *_, item in ranked[: round(rate * 17)]]
        assert lost("popularity", rate, seed=4) == expected


@pytest.mark.parametrize("mechanism", ["random", "modality"])
def test_at_random_popularity_says_nothing(mechanism):
    chosen = settings(mechanism, 0.6)
    found = losing_items("text", PRESENT, DEGREES[::-1].copy(), chosen)
    assert found.tolist() == lost(mechanism, 0.6)


@MECHANISMS
def test_other_seeds_and_other_modalities_lose_it_elsewhere(mechanism):
    assert lost(mechanism, 0.45) == lost(mechanism, 0.45)
    assert lost(mechanism, 0.45) != lost(mechanism, 0.45, seed=1)
    assert lost(mechanism, 0.45) != lost(mechanism, 0.45, name="image")


def test_removed_rows_are_zero_and_the_others_as_they_were():
    values = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
    before = Modality(values.copy(), PRESENT.copy())
    after = without("text", before, DEGREES, settings("random", 0.5))
    gone = np.isin(np.arange(23), lost("random", 0.5))
    assert np.array_equal(after.present, PRESENT & ~gone)
    assert not after.values[gone].any()
    assert np.array_equal(after.values[~gone], values[~gone])
    assert np.array_equal(before.values, values), "the argument is left alone"
    assert np.array_equal(before.present, PRESENT)
    assert after.fingerprint != before.fingerprint


def test_without_losses_the_modality_is_the_same_object():
    modality = Modality(np.ones((23, 1), np.float32), PRESENT)
    assert without("text", modality, DEGREES, settings("modality", 0.1)) is modality


def test_the_last_item_that_has_a_modality_cannot_lose_it():
    one = Modality(np.ones((3, 1), np.float32), np.array([True, False, False]))
    assert without("text", one, np.ones(3, np.int64), config(rate=0.5)).present[0]  # round(.5) = 0
    with pytest.raises(ConfigError, match=r"rate = 0\.6 takes modality 'text' from all 1 items"):
        without("text", one, np.ones(3, np.int64), config(rate=0.6))
