"""Ridge regression per set of present modalities, against the closed form and its gradient."""

import numpy as np
import pytest
import torch

from graphrec.data import Features, Modality
from graphrec.features.missing.missing_modality import Scale
from graphrec.features.missing.regression import Ridge, by_regression
from tests.features.missing.worlds import Real, changed, config, gap_of, world
from tests.models.cases import interactions_of


def scaled(rows: Real) -> Real:
    """Columns with mean 0, and one unit for all: mean square 1."""
    centred = rows - rows.mean(axis=0)
    size = np.sqrt((centred**2).sum() / centred.size)
    return centred / size


def cross_validated(z: Real, y: Real) -> tuple[float, Real]:
    """The penalty with the least GCV error, from the hat matrix, and the weights it gives."""
    n, width = z.shape
    best = (np.inf, 0.0, np.zeros((width, y.shape[1])))
    for penalty in (10.0 ** (k / 2) for k in range(-6, 7)):
        inverse = np.linalg.inv(z.T @ z + n * penalty * np.eye(width))
        hat = z @ inverse @ z.T
        free = n - 1 - np.trace(hat)  # the mean takes one as well
        error = ((y - hat @ y) ** 2).sum() / free**2 if n > 1 else 0.0
        best = min(best, (error, penalty, inverse @ z.T @ y), key=lambda each: each[0])
    return best[1:]


@pytest.mark.parametrize("noise", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n", [6, 40], ids=["wide", "tall"])
def test_weights_are_the_closed_form_and_the_minimum(n, noise):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(3, 2, size=(n, p)).astype(np.float32) for p in (4, 7)]
    targets = np.hstack(inputs) @ rng.normal(size=(11, 3)) + noise * rng.normal(size=(n, 3))
    targets = targets.astype(np.float32)
    found = Ridge.fit(inputs, targets)
    z = np.hstack([scaled(rows.astype(np.float64)) for rows in inputs])
    y = targets - targets.mean(axis=0, dtype=np.float64)
    penalty, weights = cross_validated(z, y)
    scale = np.abs(targets).max()
    np.testing.assert_allclose(found.weights, weights, atol=1e-6 * scale)
    expected = targets.mean(axis=0, dtype=np.float64) + z @ weights
    np.testing.assert_allclose(found.predict(inputs), expected, atol=1e-5 * scale)

    free = torch.tensor(found.weights, requires_grad=True)
    loss = (torch.tensor(y) - torch.tensor(z) @ free).square().sum() / n
    (loss + penalty * free.square().sum()).backward()
    assert free.grad.abs().max() < 1e-6 * scale


def test_more_noise_takes_a_larger_penalty_up_to_hardly_more_than_the_mean():
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(50, 80)).astype(np.float32)]
    signal = inputs[0] @ rng.normal(size=(80, 2))
    sizes = []
    for share in (1.0, 0.5, 0.0):
        targets = share * signal + (1 - share) * 10 * rng.normal(size=(50, 2))
        fitted = Ridge.fit(inputs, targets.astype(np.float32))
        told = fitted.predict(inputs) - fitted.mean
        sizes.append(np.square(told).sum() / np.square(targets - targets.mean(axis=0)).sum())
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] > 0.9
    assert sizes[2] < 0.1


def test_a_scale_has_mean_0_and_mean_square_1_and_can_be_undone():
    rows = np.random.default_rng(1).normal(5, [1, 10, 0.1], size=(20, 3)).astype(np.float32)
    scale = Scale.of(rows)
    applied = scale.apply(rows)
    np.testing.assert_allclose(applied, scaled(rows.astype(np.float64)), atol=1e-12)
    np.testing.assert_allclose(scale.undo(applied), rows, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -1e-30])
def test_rows_that_are_all_the_same_keep_their_unit(value):
    assert Scale.of(np.full((7, 3), value, np.float32)).size == 1.0
    assert Scale.of(np.float32([[value, 2.0]])).size == 1.0


def test_the_last_bit_of_rows_that_are_else_the_same_is_no_content():
    rows = np.ones((8, 3), np.float32)
    rows[::2] = np.nextafter(rows[::2], np.float32(2))
    assert Scale.of(rows).size == 1.0
    rows[::2] += np.float32(1e-4)
    assert Scale.of(rows).size == pytest.approx(0.5e-4, rel=0.01)
    assert Scale.of(rows * np.float32(1e-8)).size == pytest.approx(0.5e-12, rel=0.01)


def test_one_row_teaches_itself_and_nothing_about_others():
    inputs, targets = [np.float32([[1, 2, 3]])], np.float32([[5, 6]])
    with np.errstate(all="raise"):
        found = Ridge.fit(inputs, targets)
    assert found.predict([inputs[0] * 9]).tolist() == [[5, 6]]


def literal(features: Features, warm: set[int], name: str) -> dict[int, Real]:
    """For each item that lacks ``name``: which others it has, who can teach, the prediction."""
    filled = {}
    for item in np.flatnonzero(~features[name].present):
        own = [s for s in sorted(features) if s != name and features[s].present[item]]
        teachers = [
            i
            for i in range(features.num_items)
            if i in warm and all(features[s].present[i] for s in (*own, name))
        ]
        if not own or not teachers:
            continue
        y = features[name].values[teachers].astype(np.float64)
        z, mine = [], []
        for s in own:
            x = features[s].values[teachers].astype(np.float64)
            size = np.sqrt(((x - x.mean(axis=0)) ** 2).mean())
            z.append((x - x.mean(axis=0)) / size)
            mine.append((features[s].values[item] - x.mean(axis=0)) / size)
        z, mine = np.hstack(z), np.hstack(mine)
        _, weights = cross_validated(z, y - y.mean(axis=0))
        filled[int(item)] = y.mean(axis=0) + mine @ weights
    return filled


@pytest.mark.parametrize("name", ["audio", "image", "text"])
def test_each_item_is_predicted_from_what_it_has(name):
    features, train = world()
    expected = literal(features, set(train.items.tolist()), name)
    settings = config(strategy="regression")
    items, rows = by_regression(gap_of(features, train, name), settings)
    found = dict(zip(items.tolist(), rows, strict=True))
    assert sorted(found) == sorted(expected)
    patterns = {tuple(features[s].present[i] for s in features) for i in items}
    assert len(patterns) == 3, "the test needs every set of present modalities"
    for item, row in expected.items():
        np.testing.assert_allclose(found[item], row, atol=1e-5)
    assert 1 not in found, "item 1 has no modality at all"


def test_items_without_training_interactions_teach_nothing():
    features, train = world()
    cold = np.flatnonzero((train.item_degrees == 0) & features["text"].present)
    assert len(cold)
    settings = config(strategy="regression")
    before = by_regression(gap_of(features, train, "text"), settings)
    other = changed(features, "text", cold, 50.0)
    after = by_regression(gap_of(other, train, "text"), settings)
    assert np.array_equal(before.rows, after.rows)


def test_a_set_of_modalities_that_no_training_item_has_reaches_nobody():
    ones = np.ones((4, 2), np.float32)
    x = Modality(ones, np.array([True, True, False, False]))
    y = Modality(ones, np.array([False, False, True, True]))
    train = interactions_of([(0, i) for i in range(4)], 1, 4)
    gap = gap_of(Features({"x": x, "y": y}, 4), train, "y")
    found = by_regression(gap, config(strategy="regression"))
    assert (len(found.items), found.rows.shape) == (0, (0, 2))
