"""What was planted can be found again: in its own modality, and in no other."""

import wave
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Dataset, PlantedTruth, load, planted_pictures, split
from graphrec.data.catalog.planted_media import FACTORS, MEDIA, WORDS, png
from graphrec.data.config import SplitConfig
from tests.oracles import auc

Matrix = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> PlantedTruth:
    return planted_pictures(0, 120, 300, tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def dataset(truth: PlantedTruth) -> Dataset:
    return load(truth.data)


def folder_of(truth: PlantedTruth) -> Path:
    assert truth.data.path is not None
    return truth.data.path.parent


def pixels_of(path: Path) -> npt.NDArray[np.uint8]:
    """Undo ``png``: one chunk of unfiltered lines."""
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    size = int.from_bytes(content[start - 8 : start - 4], "big")
    lines = np.frombuffer(zlib.decompress(content[start : start + size]), dtype=np.uint8)
    return lines.reshape(64, -1)[:, 1:].reshape(64, 64, 3)


def see(path: Path) -> list[float]:
    """Colour, outline and grain of the figure on a pale ground."""
    pixels = pixels_of(path).astype(float)
    figure = np.ptp(pixels, axis=2) > 30
    rows, columns = np.nonzero(figure)
    inside = figure[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    thirds = [part.mean() for part in np.array_split(inside, 3)]
    grey = pixels.mean(axis=2)
    down = np.abs(np.diff(grey, axis=0))[figure[1:] & figure[:-1]].mean()
    across = np.abs(np.diff(grey, axis=1))[figure[:, 1:] & figure[:, :-1]].mean()
    paint = pixels[figure].max(axis=0)
    return [*paint, inside.mean(), *thirds, down, across, grey[figure].std(), grey[figure].mean()]


def hear(path: Path) -> list[float]:
    """The loudest frequency, in octaves."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert len(samples) == 8000
    peak = np.abs(np.fft.rfft(samples)).argmax()
    return [float(np.log2(peak * 2 / 220))]


def read(caption: str) -> list[float]:
    return [float(word in caption.split()) for word in WORDS.ravel()]


@pytest.fixture(scope="module")
def content(truth: PlantedTruth, dataset: Dataset) -> dict[str, Matrix]:
    """``{modality: [I, F]}``, rows of NaN where there is none."""
    folder, table = folder_of(truth), dataset.item_table
    assert table is not None
    result = {}
    for kind in MEDIA:
        rows = []
        for value in table[kind]:
            if value is None:
                rows.append(None)
            elif kind == "caption":
                rows.append(read(value))
            else:
                rows.append((see if kind == "picture" else hear)(folder / value))
        width = max(len(row) for row in rows if row)
        result[kind] = np.array([row or [np.nan] * width for row in rows])
    return result


def predict(rows: Matrix, targets: Matrix) -> Matrix:
    """Predict each half of the items from the other half."""
    result = np.empty(targets.shape)
    for half in (0, 1):
        train, test = np.arange(len(rows)) % 2 != half, np.arange(len(rows)) % 2 == half
        forest = ExtraTreesRegressor(30, min_samples_leaf=3, random_state=0)
        result[test] = forest.fit(rows[train], targets[train]).predict(rows[test])
    return result


# The planting.


@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_can_be_read_from_its_modality_and_from_no_other(
    factor: str, truth: PlantedTruth, content: dict[str, Matrix]
) -> None:
    for kind, rows in content.items():
        here = truth.present[kind]
        values = truth.factors[factor][here]
        guesses = predict(rows[here], np.eye(4)[values]).argmax(axis=1)
        share = (guesses == values).mean()
        if kind == FACTORS[factor][0]:
            assert share > 0.9
        else:
            assert share < 0.4  # chance is 1/4


@pytest.mark.parametrize("kind", MEDIA)
def test_likes_follow_from_the_right_modality_and_from_no_other(
    kind: str, truth: PlantedTruth, dataset: Dataset, content: dict[str, Matrix]
) -> None:
    """Which items will each user take? Learned from half of the items and users of one taste."""
    users = np.flatnonzero(truth.user_modality == kind)
    assert len(users) > 20
    likes = dataset.interactions.matrix.toarray()[users].T
    names = [f"{truth.user_factor[user]} {truth.user_value[user]}" for user in users]
    tastes, taste_of_user = np.unique(names, return_inverse=True)
    by_taste = [likes[:, taste_of_user == taste].mean(axis=1) for taste in range(len(tastes))]
    for other, rows in content.items():
        here = truth.present[other]
        scores = predict(rows[here], np.stack(by_taste, axis=1)[here])
        areas = [
            auc(scores[:, taste].tolist(), set(np.flatnonzero(likes[here, user]).tolist()), set())
            for user, taste in enumerate(taste_of_user.tolist())
        ]
        if other == kind:
            assert np.mean(areas) > 0.7
        else:
            assert 0.43 < np.mean(areas) < 0.57


def test_users_take_mostly_what_fits(truth: PlantedTruth, dataset: Dataset) -> None:
    data = dataset.interactions
    fits = truth.fits
    assert fits.shape == (120, 300)
    for user in (0, 7):  # the definition, spelled out
        factor, value = str(truth.user_factor[user]), truth.user_value[user]
        assert fits[user].tolist() == (truth.factors[factor] == value).tolist()
    assert fits.mean() == pytest.approx(0.25)
    # Without replacement a little less than 20 * 75 / (20 * 75 + 225) = 0.87.
    assert 0.8 < fits[data.users, data.items].mean() < 0.88


# The data set.


def test_it_loads_with_content_and_times(truth: PlantedTruth, dataset: Dataset) -> None:
    data, table = dataset.interactions, dataset.item_table
    assert (data.num_users, data.num_items, len(data)) == (120, 300, 2400)
    assert (np.diff(data.matrix.indptr) == 20).all()
    assert data.times is not None
    assert table is not None
    assert table.columns == ["title", "caption", "picture", "tone"]
    for kind in MEDIA:
        assert table[kind].is_not_null().to_list() == truth.present[kind].tolist()
        assert 0.03 < (~truth.present[kind]).mean() < 0.2
    assert np.logical_or.reduce(list(truth.present.values())).all()
    folder = folder_of(truth)
    for kind, place in (("picture", "pictures"), ("tone", "tones")):
        named = sorted(table[kind].drop_nulls())
        assert named == sorted(f"{place}/{path.name}" for path in (folder / place).iterdir())
    parts = split(dataset, SplitConfig(kind="temporal_user"))
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (1920, 240, 240)


def test_every_factor_is_balanced_and_every_modality_has_users(truth: PlantedTruth) -> None:
    for factor, values in truth.factors.items():
        assert np.bincount(values).tolist() == [75] * len(FACTORS[factor][1])
    counts = pl.Series(truth.user_modality).value_counts()
    assert counts["count"].min() > 25  # type: ignore[operator]


def test_titles_give_nothing_away(dataset: Dataset) -> None:
    assert dataset.item_names[:3].to_list() == ["item 0", "item 1", "item 2"]


def test_it_is_a_function_of_its_seed(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        planted_pictures(seed, 5, 12, folder, per_user=3)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_pictures_open_in_an_ordinary_reader(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "one.png").write_bytes(png(pixels))
    with image.open(tmp_path / "one.png") as opened:
        assert (opened.format, opened.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(opened), pixels)
    np.testing.assert_array_equal(pixels_of(tmp_path / "one.png"), pixels)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 12, 3), "num_users = 0"),
        ((5, 3, 3), "num_items = 3"),
        ((5, 12, 13), "per_user = 13"),
        ((5, 12, 0), "per_user = 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    tmp_path: Path, sizes: tuple[int, int, int], message: str
) -> None:
    num_users, num_items, per_user = sizes
    with pytest.raises(ConfigError, match=message):
        planted_pictures(0, num_users, num_items, tmp_path, per_user=per_user)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"Cannot write .*file/pictures"):
        planted_pictures(0, 5, 12, tmp_path / "file", per_user=3)
