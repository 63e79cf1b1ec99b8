"""Controls against their definition: the same form, and nothing that is said of an item."""

from pathlib import Path

import numpy as np
import pytest

from graphrec import ConfigError, build_config
from graphrec.core.rng import numpy_stream
from graphrec.data import Features, Modality
from graphrec.data.neighbours import GivenNeighbours
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.features.content.pretrained import EncodedModality, Report
from graphrec.features.controls import Control, controlled
from graphrec.graphs import nearest_items
from tests.models.cases import random_features
from tests.studies import worlds

NUM_ITEMS = 60


@pytest.fixture
def features() -> Features:
    """Some items lack a modality; ``lists`` holds the neighbours by the image."""
    found = random_features(NUM_ITEMS, seed=3)
    image = found["image"]
    near = nearest_items(image.values, image.present, 4)
    lists = GivenNeighbours(image.values[:, :0], image.present, near)
    return Features({**found, "lists": lists}, NUM_ITEMS)


def changed(features: Features, name: str, control: Control, seed: int = 0) -> Modality:
    return controlled(features, {name: control}, seed)[name]


@pytest.mark.parametrize("control", ["shuffled", "noise"])
@pytest.mark.parametrize("name", ["image", "lists"])
def test_the_same_items_have_it_and_others_are_as_they_were(features, name, control) -> None:
    found = controlled(features, {name: control}, 0)
    assert (found[name].present == features[name].present).all()
    assert not found[name].values[~found[name].present].any()
    assert found[name].fingerprint != features[name].fingerprint
    assert all(found[other] is features[other] for other in features if other != name)


@pytest.mark.parametrize("control", ["shuffled", "noise"])
def test_a_control_follows_from_the_seed(features, control) -> None:
    first = changed(features, "image", control)
    assert first.fingerprint == changed(features, "image", control).fingerprint
    assert first.fingerprint != changed(features, "image", control, seed=1).fingerprint


def test_shuffled_rows_are_the_same_rows(features) -> None:
    before, after = features["image"], changed(features, "image", "shuffled")
    rows = [sorted(map(tuple, each.values[each.present])) for each in (before, after)]
    assert rows[0] == rows[1]
    stayed = (before.values == after.values).all(axis=1)[before.present]
    assert stayed.mean() < 0.2


def test_noise_has_the_moments_of_each_column(features) -> None:
    before, after = features["image"], changed(features, "image", "noise")
    for column in range(before.values.shape[1]):
        old, new = (each.values[each.present, column] for each in (before, after))
        assert new.mean() == pytest.approx(old.mean(), abs=1e-6)
        assert new.std() == pytest.approx(old.std(), rel=1e-5)
        assert abs(np.corrcoef(old, new)[0, 1]) < 0.5


def test_a_column_without_deviation_and_a_single_item_stay_as_they_are() -> None:
    values = np.array([[2, 3], [2, 5], [0, 0]], dtype=np.float32)
    several = Modality(values, np.array([True, True, False]))
    found = changed(Features({"a": several}, 3), "a", "noise")
    assert found.values[:, 0] == pytest.approx([2, 2, 0])
    single = Modality(values, np.array([True, False, False]))
    found = changed(Features({"a": single}, 3), "a", "noise")
    assert found.values[0] == pytest.approx([2, 3])


def edges(modality: Modality) -> dict[tuple[int, int], float]:
    assert isinstance(modality, GivenNeighbours)
    lists = modality.neighbours
    return {
        (item, int(other)): float(cosine)
        for item in range(NUM_ITEMS)
        for other, cosine in zip(lists.items[item], lists.cosines[item], strict=True)
        if other >= 0
    }


def test_shuffled_lists_are_the_same_graph_between_other_items(features) -> None:
    before, after = edges(features["lists"]), edges(changed(features, "lists", "shuffled"))
    have = np.flatnonzero(features["lists"].present)
    new = dict(zip(have, numpy_stream(0, "controls/lists").permutation(have), strict=True))
    assert after == {(new[i], new[j]): cosine for (i, j), cosine in before.items()}
    assert len(before.keys() & after.keys()) < 0.3 * len(before)


def test_noise_in_lists_keeps_their_lengths_and_cosines(features) -> None:
    before, after = features["lists"], changed(features, "lists", "noise")
    assert isinstance(before, GivenNeighbours)
    assert isinstance(after, GivenNeighbours)
    old, new = before.neighbours, after.neighbours
    assert ((old.items >= 0).sum(axis=1) == (new.items >= 0).sum(axis=1)).all()
    assert sorted(edges(before).values()) == sorted(edges(after).values())
    for item, row in enumerate(new.items):
        named = row[row >= 0]
        assert item not in named
        assert len(set(named)) == len(named)
        assert before.present[named].all()
    assert len(edges(before).keys() & edges(after).keys()) < 0.3 * len(edges(before))


@pytest.mark.parametrize("control", ["shuffled", "noise"])
def test_lists_stay_best_first_and_of_equal_ones_the_lower_id(features, control) -> None:
    lists = features["lists"]
    assert isinstance(lists, GivenNeighbours)
    lists.neighbours.cosines[lists.neighbours.items >= 0] = 0.5
    found = changed(features, "lists", control)
    assert isinstance(found, GivenNeighbours)
    for row in found.neighbours.items:
        named = row[row >= 0]
        assert list(named) == sorted(named)
        assert (row[len(named) :] == -1).all()


def test_what_cannot_be_changed_is_refused(features) -> None:
    image = features["image"]
    tuned = EncodedModality(image.values, image.present, Report(0, 0), lambda: image.rows())
    with pytest.raises(ConfigError, match=r"controls\.a = 'noise' .* \(fine_tune\)"):
        changed(Features({"a": tuned}, NUM_ITEMS), "a", "noise")


def test_a_large_matrix_on_disk_is_refused(features, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", features["image"].values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    large = Modality(mapped, features["image"].present)
    with pytest.raises(ConfigError, match="lies on disk"):
        changed(Features({"a": large}, NUM_ITEMS), "a", "shuffled")


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"imag": "noise"}, r"controls\.imag: there is no \[features\.imag\]\. Did you mean 'ima"),
        ({"image": "shufled"}, r"controls\.image: Input should be 'shuffled' or 'noise'"),
    ],
)
def test_bad_tables_are_refused(controls, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(worlds.table_of("image") | {"controls": controls})


def test_a_run_applies_controls_and_other_settings_share_what_was_encoded() -> None:
    config = worlds.config_of("image", "junk")
    log = RunLog()
    prepared = prepare(config, log)
    under = with_settings(prepared, config.model_copy(update={"controls": {"junk": "noise"}}), log)
    assert under.features["image"] is prepared.features["image"]
    assert under.features["junk"].fingerprint != prepared.features["junk"].fingerprint
    seeded = under.config.model_copy(update={"run": config.run.model_copy(update={"seed": 7})})
    other = with_settings(under, seeded, log)
    assert other.features["junk"].fingerprint != under.features["junk"].fingerprint
    assert prepare(seeded, RunLog()).fingerprints == other.fingerprints
    back = with_settings(other, config, log)
    assert back.fingerprints == prepared.fingerprints
    alone = config.model_copy(update={"features": {"junk": config.features["junk"]}})
    again = with_settings(with_settings(prepared, alone, log), config, log)
    assert again.features["image"] is prepared.features["image"]


def test_missing_modalities_are_seen_by_other_settings() -> None:
    config = worlds.config_of("image", "junk")
    table = worlds.table_of("image", "junk") | {"missing": {"rate": 0.5, "strategy": "mean"}}
    less = build_config(table)
    prepared = prepare(config, RunLog())
    other = with_settings(prepared, less, RunLog())
    assert other.fingerprints == prepare(less, RunLog()).fingerprints
    assert other.fingerprints != prepared.fingerprints
