"""The verb: what each strategy leaves, what is refused, and how well the learned ones do."""

from pathlib import Path

import numpy as np
import pytest

from graphrec.core.errors import ConfigError
from graphrec.data import Features, Interactions, Modality
from graphrec.data.neighbours import GivenNeighbours, Neighbours
from graphrec.features.content.pretrained import EncodedModality, Report
from graphrec.features.missing import STRATEGIES, remove_and_fill
from graphrec.features.missing.removal import losing_items
from tests.features.missing.worlds import changed, config, planted, squared_error, world
from tests.models.cases import interactions_of

FEW = {"gan": {"steps": 3, "hidden": 4}, "vae": {"steps": 3, "hidden": 4}}
ALL = pytest.mark.parametrize("strategy", [*STRATEGIES, "token"])


def fill(features: Features, train: Interactions, strategy: str, **more: object):
    return remove_and_fill(
        features, train, config(strategy=strategy, **FEW.get(strategy, {}), **more)
    )


def test_without_effect_nothing_is_touched():
    features, train = world()
    same, changes = remove_and_fill(features, train, config())
    assert same is features
    assert changes == ()


def test_mask_removes_and_leaves_the_gaps():
    features, train = world()
    settings = config(rate=0.5, seed=3)
    masked, changes = remove_and_fill(features, train, settings)
    for change in changes:
        before, after = features[change.modality], masked[change.modality]
        lost = losing_items(change.modality, before.present, train.item_degrees, settings)
        assert change.removed == len(lost) == round(before.present.sum() / 2)
        assert set(np.flatnonzero(before.present & ~after.present)) == set(lost)
        assert (change.missing, change.filled, change.by_mean) == ((~after.present).sum(), 0, 0)
    assert [change.modality for change in changes] == list(features)
    assert masked.fingerprint != features.fingerprint


@ALL
def test_a_strategy_leaves_no_gap_and_no_row_that_was_there_changes(strategy):
    features, train = world()
    untouched, _ = world()
    filled, changes = fill(features, train, strategy, rate=0.3)
    fill(features, train, strategy)
    assert features.fingerprint == untouched.fingerprint, "the argument is left alone"
    masked, _ = remove_and_fill(features, train, config(rate=0.3))
    for change in changes:
        before, after = masked[change.modality], filled[change.modality]
        assert after.present.all()
        assert np.isfinite(after.values).all()
        assert np.array_equal(after.values[before.present], before.values[before.present])
        assert change.filled == change.missing == (~before.present).sum()
        assert 0 <= change.by_mean <= change.filled


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_those_who_are_not_reached_get_the_mean_of_training_items(strategy):
    """Item 1 has no modality, item 28 no user."""
    features, train = world()
    filled, changes = fill(features, train, strategy)
    for change in changes:
        modality = features[change.modality]
        taught = modality.present & (train.item_degrees > 0)
        mean = modality.values[taught].mean(axis=0)
        has_the_mean = np.isclose(filled[change.modality].values, mean, atol=1e-6).all(axis=1)
        missing = ~modality.present
        assert has_the_mean[missing].sum() == change.by_mean
        others = [features[name].present for name in features if name != change.modality]
        cold = missing & (train.item_degrees == 0)
        unreached = {"mean": missing, "neighbours": cold}
        expected = unreached.get(strategy, missing & ~np.any(others, axis=0))
        assert np.array_equal(has_the_mean & missing, expected)


def test_the_mean_by_hand():
    values = np.array([[1, 8], [3, 0], [50, 50], [7, 7]], np.float32)
    present = np.array([True, True, True, False])
    train = interactions_of([(0, 0), (1, 0), (1, 1), (0, 3)], 2, 4)
    features = Features({"x": Modality(values, present)}, 4)
    filled, (change,) = fill(features, train, "mean")
    assert filled["x"].values.tolist() == [[1, 8], [3, 0], [50, 50], [2, 4]]
    assert str(change) == (
        "Missing x: taken from 0 items, then lacked by 1; mean filled 1, 1 of them with the mean"
    )


@ALL
def test_what_items_without_training_interactions_have_changes_no_other_row(strategy):
    features, train = world()
    cold = np.flatnonzero(train.item_degrees == 0)
    assert all(features[name].present[cold].any() for name in features)
    warm = np.flatnonzero(train.item_degrees > 0)
    other = features
    for name in features:
        other = changed(other, name, cold, 40.0)
    one, two = (fill(each, train, strategy)[0] for each in (features, other))
    for name in features:
        assert np.array_equal(one[name].values[warm], two[name].values[warm])
    if strategy == "token":
        assert all(np.array_equal(one[name].start, two[name].start) for name in features)


@ALL
def test_rows_that_were_removed_are_read_by_nobody(strategy):
    features, train = world()
    settings = config(rate=0.4)
    other = features
    for name, each in features.items():
        lost = losing_items(name, each.present, train.item_degrees, settings)
        other = changed(other, name, lost, 40.0)
        other = changed(other, name, np.flatnonzero(~each.present), 40.0)
    one, two = (fill(each, train, strategy, rate=0.4)[0] for each in (features, other))
    assert one.fingerprint == two.fingerprint


@ALL
def test_only_the_named_modalities_change_and_the_others_still_teach(strategy):
    features, train = world()
    filled, changes = fill(features, train, strategy, rate=0.5, modalities=("text",))
    assert [change.modality for change in changes] == ["text"]
    assert filled["audio"] is features["audio"]
    assert filled["image"] is features["image"]
    assert filled["text"].present.all()


@pytest.mark.parametrize("order", [("text", "audio"), ("audio", "text", "audio")])
def test_neither_order_nor_repetition_of_the_names_matters(order):
    features, train = world()
    _, changes = fill(features, train, "mean", rate=0.5, modalities=order)
    assert [change.modality for change in changes] == ["audio", "text"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_modalities_are_filled_from_what_was_there_and_not_from_each_other(strategy):
    features, train = world()
    together, _ = fill(features, train, strategy)
    for name in features:
        alone, _ = fill(features, train, strategy, modalities=(name,))
        assert alone[name].fingerprint == together[name].fingerprint


@pytest.mark.parametrize("strategy", [*STRATEGIES, "token"])
def test_equal_settings_give_equal_features_and_strategies_differ(strategy):
    features, train = world()
    first, again = (fill(features, train, strategy, rate=0.3)[0] for _ in range(2))
    assert first.fingerprint == again.fingerprint
    others = {s: fill(features, train, s, rate=0.3)[0] for s in (*STRATEGIES, "token", "mask")}
    assert len({each.fingerprint for each in others.values()}) == 7


@ALL
def test_where_nothing_is_missing_nothing_changes(strategy):
    features, train = planted(linear=True, num_items=20)
    filled, changes = fill(features, train, strategy)
    assert all(filled[name] is features[name] for name in features)
    assert all((each.missing, each.filled) == (0, 0) for each in changes)


# How good it is.


@pytest.mark.parametrize("mechanism", ["random", "popularity"])
def test_regression_beats_the_mean_where_a_modality_is_a_linear_function(mechanism):
    features, train = planted(linear=True)
    error = {}
    for strategy in ("mean", "regression"):
        settings = {"rate": 0.4, "modalities": ("y",), "mechanism": mechanism}
        filled, _ = fill(features, train, strategy, **settings)
        error[strategy] = squared_error(features, filled, "y")
    assert error["regression"] < 0.02 * error["mean"]


@pytest.mark.parametrize("strategy", ["gan", "vae"])
def test_networks_beat_mean_and_regression_where_the_function_is_not_linear(strategy):
    features, train = planted(linear=False)
    error = {}
    for name in ("mean", "regression", strategy):
        steps = {"steps": 150} if name == strategy else {}
        settings = config(strategy=name, rate=0.4, modalities=("y",), **steps)
        filled, _ = remove_and_fill(features, train, settings)
        error[name] = squared_error(features, filled, "y")
    assert error[strategy] < 0.05 * min(error["mean"], error["regression"])


def test_neighbours_beat_the_mean_where_users_go_by_content():
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 3
    values = (np.eye(3)[classes] + 0.1 * rng.normal(size=(60, 3))).astype(np.float32)
    features = Features({"x": Modality(values, np.ones(60, np.bool_))}, 60)
    pairs = [
        (u, int(i)) for u in range(30) for i in rng.choice(np.flatnonzero(classes == u % 3), 8)
    ]
    train = interactions_of(sorted(set(pairs)), 30, 60)
    error = {}
    for strategy in ("mean", "neighbours"):
        filled, _ = fill(features, train, strategy, rate=0.5)
        error[strategy] = squared_error(features, filled, "x")
    assert error["neighbours"] < 0.1 * error["mean"]


# Odd input.


@ALL
@pytest.mark.parametrize("width", [1, 10_000])
def test_narrow_and_wide_modalities(strategy, width):
    rng = np.random.default_rng(0)
    train = interactions_of([(u, i) for u in range(3) for i in range(8)], 3, 8)
    some = np.arange(8) % 3 > 0
    modalities = {
        name: Modality(rng.normal(size=(8, width)).astype(np.float32), has)
        for name, has in (("x", some), ("y", some[::-1].copy()))
    }
    filled, changes = fill(Features(modalities, 8), train, strategy)
    assert [change.filled for change in changes] == [3, 3]
    assert all(each.values.shape == (8, width) for each in filled.values())


@ALL
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_constant_features_are_filled_with_the_constant(strategy, value):
    train = interactions_of([(u, i) for u in range(3) for i in range(8)], 3, 9)
    some = np.arange(9) % 3 > 0
    rows = np.full((9, 5), value, np.float32)
    features = Features({"x": Modality(rows, some), "y": Modality(rows, some[::-1].copy())}, 9)
    filled, _ = fill(features, train, strategy)
    for each in filled.values():
        found = each.rows()().detach().numpy()
        # A network that has hardly been trained is near its start: within a unit of the constant.
        np.testing.assert_allclose(found, rows, rtol=1e-6, atol=2.0 if strategy in FEW else 1e-6)


@ALL
def test_one_item_with_a_modality_is_enough(strategy):
    train = interactions_of([(u, i) for u in range(3) for i in range(6)], 3, 6)
    rng = np.random.default_rng(0)
    x = Modality(rng.normal(size=(6, 4)).astype(np.float32), np.arange(6) == 2)
    y = Modality(rng.normal(size=(6, 3)).astype(np.float32), np.ones(6, np.bool_))
    filled, (change, _) = fill(Features({"x": x, "y": y}, 6), train, strategy)
    assert change.filled == 5
    assert np.isfinite(filled["x"].values).all()
    if strategy not in FEW:
        found = filled["x"].rows()().detach().numpy()
        np.testing.assert_allclose(found, np.tile(x.values[2], (6, 1)), rtol=1e-6)


@ALL
def test_a_modality_that_no_training_item_has_is_refused(strategy):
    train = interactions_of([(0, 0), (0, 1)], 1, 3)
    x = Modality(np.ones((3, 2), np.float32), np.array([False, False, True]))
    y = Modality(np.ones((3, 2), np.float32), np.ones(3, np.bool_))
    features = Features({"x": x, "y": y}, 3)
    with pytest.raises(ConfigError, match=r"no item with training interactions has modality 'x'"):
        fill(features, train, strategy)
    fill(features, train, strategy, modalities=("y",))


@pytest.mark.parametrize("strategy", [*STRATEGIES, "token", "mask"])
def test_a_modality_that_all_would_lose_is_refused(strategy):
    x = Modality(np.ones((3, 2), np.float32), np.array([False, True, False]))
    features = Features({"x": x, "y": Modality(x.values, ~x.present)}, 3)
    train = interactions_of([(0, 0), (0, 1)], 1, 3)
    with pytest.raises(ConfigError, match=r"rate = 0\.9 takes modality 'x' from all 1 items"):
        fill(features, train, strategy, rate=0.9)


@pytest.mark.parametrize("strategy", ["regression", "gan", "vae"])
def test_a_second_matrix_is_needed(strategy):
    features, train = world()
    lists = Neighbours(np.zeros((30, 2), np.int32), np.zeros((30, 2), np.float32))
    given = GivenNeighbours(np.zeros((30, 0), np.float32), np.ones(30, np.bool_), lists)
    one = Features({"text": features["text"], "lists": given}, 30)
    with pytest.raises(ConfigError, match=r"another modality that is a matrix, and there is none"):
        fill(one, train, strategy, modalities=("text",))


@pytest.mark.parametrize("kind", ["neighbours", "fine_tune", "mapped"])
def test_what_is_no_matrix_in_memory_is_refused_or_left_alone(kind, tmp_path: Path):
    features, train = world()
    text = features["text"]
    if kind == "neighbours":
        lists = Neighbours(np.zeros((30, 2), np.int32), np.zeros((30, 2), np.float32))
        odd = GivenNeighbours(np.zeros((30, 0), np.float32), text.present, lists)
        message = "lists of neighbours"
    elif kind == "fine_tune":
        odd = EncodedModality(text.values, text.present, Report(1, 0), lambda: text.rows())
        message = "fine_tune"
    else:
        np.save(tmp_path / "x.npy", text.values)
        odd = Modality(np.load(tmp_path / "x.npy", mmap_mode="c"), text.present)
        message = "memory_mb"
    given = Features({**features, "odd": odd}, 30)
    with pytest.raises(ConfigError, match=rf"cannot act on \[features.odd\]: .*{message}"):
        fill(given, train, "mean")
    names = ("audio", "image", "text")
    filled, _ = fill(given, train, "regression", rate=0.2, modalities=names)
    assert filled["odd"] is odd
    plain, _ = fill(features, train, "regression", rate=0.2, modalities=names)
    assert all(filled[name].fingerprint == plain[name].fingerprint for name in names)


def test_rows_of_an_encoder_that_stays_as_it_is_are_a_matrix():
    features, train = world()
    text = features["text"]
    given = EncodedModality(text.values, text.present, Report(1, 0))
    filled, _ = fill(Features({**features, "text": given}, 30), train, "mean")
    assert filled["text"].present.all()
