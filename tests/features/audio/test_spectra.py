import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from graphrec.core.errors import ConfigError
from graphrec.data import load, planted_pictures
from graphrec.features import ENCODERS, encode
from graphrec.features.audio.spectra import LogmelConfig, MfccConfig, StftConfig
from tests.features import tiny_sounds as tiny

NAMES = ("logmel", "mfcc", "stft")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    tiny.some(tmp_path / "sounds")
    return tmp_path / "sounds"


# --- the formulas once more: a plain transform, triangles and cosines ---


def power_of(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """``[T, K]``"""
    n = np.arange(window)
    k = np.arange(window // 2 + 1)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    waves = np.exp(-2j * np.pi * np.outer(n, k) / window)
    starts = range(0, len(samples) - window + 1, hop)
    return np.stack([abs((samples[s : s + window] * hann) @ waves) ** 2 for s in starts])


def triangles(rate: int, window: int, num_mels: int) -> np.ndarray:
    """Slaney's scale: 3 mels per 200 Hz up to 1000 Hz, then 27 mels per factor of 6.4."""

    def to_hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    highest = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    corners = [to_hertz(mel) for mel in np.linspace(0, highest, num_mels + 2)]
    bins = np.arange(window // 2 + 1) * rate / window
    result = np.zeros((num_mels, len(bins)))
    for band in range(num_mels):
        left, top, right = corners[band : band + 3]
        for k, hertz in enumerate(bins):
            height = min((hertz - left) / (top - left), (right - hertz) / (right - top))
            result[band, k] = max(height, 0) * 2 / (right - left)
    return result


def decibels_of(samples: np.ndarray, num_mels: int) -> np.ndarray:
    """``[T, num_mels]``"""
    power = power_of(samples, 400, 160) @ triangles(16_000, 400, num_mels).T
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    return np.maximum(decibels, decibels.max() - 80)


def statistics(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def test_logmel_is_the_loudness_of_the_bands(sounds):
    samples = tiny.sound(sounds / "i0.wav", 7)
    found = tiny.encode(sounds, "logmel", 1, num_mels=30).values[0]
    np.testing.assert_allclose(found, statistics(decibels_of(samples, 30)), atol=1e-2)


def test_mfcc_is_the_cosine_transform_of_the_loudness(sounds):
    samples = tiny.sound(sounds / "i0.wav", 7)
    found = tiny.encode(sounds, "mfcc", 1, num_mels=30, num_coefficients=5).values[0]
    f, m = np.arange(5)[:, None], np.arange(30)
    cosines = np.cos(np.pi * f * (m + 0.5) / 30) * np.where(f == 0, 1 / 30, 2 / 30) ** 0.5
    expected = statistics(decibels_of(samples, 30) @ cosines.T)
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_stft_measures_each_window(sounds):
    samples = tiny.sound(sounds / "i0.wav", 7).astype(float)
    magnitudes = power_of(samples, 400, 160) ** 0.5
    rows = []
    for number, found in enumerate(magnitudes):
        share = np.arange(201) / 200
        centroid = (share * found).sum() / found.sum()
        bandwidth = (((share - centroid) ** 2 * found).sum() / found.sum()) ** 0.5
        rolloff = share[np.flatnonzero(found.cumsum() >= 0.85 * found.sum())[0]]
        flatness = np.exp(np.log(found**2).mean()) / (found**2).mean()
        inside = samples[number * 160 : number * 160 + 400]
        crossings = sum(a * b < 0 for a, b in itertools.pairwise(inside)) / 400
        rows.append([centroid, bandwidth, rolloff, flatness, crossings, (inside**2).mean() ** 0.5])
    found = tiny.encode(sounds, "stft", 1).values[0]
    np.testing.assert_allclose(found, statistics(np.array(rows)), atol=1e-4)
    assert (found[:6] > 0.001).all()


# --- rows ---


@pytest.mark.parametrize(("name", "width"), [("logmel", 128), ("mfcc", 40), ("stft", 12)])
def test_rows_are_the_same_every_time_and_in_every_batch(sounds, name, width):
    first = tiny.encode(sounds, name)
    again = tiny.encode(sounds, name, store=sounds.parent / "other", batch_size=1, workers=1)
    assert first.values.shape == (4, width)
    assert (first.values == again.values).all()
    assert len(np.unique(first.values, axis=0)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_part_of_the_identity(sounds, name):
    others: dict[str, float] = {"rate": 8000, "window_ms": 40, "hop_ms": 5, "max_seconds": 0.3}
    others |= {"logmel": {"num_mels": 20}, "stft": {}}.get(
        name, {"num_mels": 25, "num_coefficients": 3}
    )
    folders, rows = {tiny.encode(sounds, name).report.folder}, [tiny.encode(sounds, name).values]
    for key, value in others.items():
        found = tiny.encode(sounds, name, **{key: value})
        assert found.report.encoded == 4
        assert all(not np.array_equal(found.values, each) for each in rows)
        folders.add(found.report.folder)
        rows.append(found.values)
    assert len(folders) == 1 + len(others)


def test_the_identity_names_versions(sounds):
    folder = Path(tiny.encode(sounds, "mfcc").report.folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["encoder"], manifest["num_mels"]) == ("audio", "mfcc", 64)
    assert {"librosa", "soundfile", "soxr", "numpy", "scipy"} == set(manifest["versions"])
    assert all(manifest["versions"].values())


@pytest.mark.parametrize("name", NAMES)
def test_the_loudest_sound_that_is_read_gives_a_row(sounds, name):
    loud = 2.0**32 * tiny.sound(sounds / "i0.wav")
    tiny.soundfile.write(sounds / "i0.wav", loud, 16_000, subtype="FLOAT")
    assert tiny.encode(sounds, name).present.all()


def test_a_sound_shorter_than_a_window_is_missing(sounds):
    tiny.sound(sounds / "i0.wav", seconds=0.02)
    tiny.sound(sounds / "i1.wav", seconds=0.025)
    found = tiny.encode(sounds, "mfcc")
    assert found.present.tolist() == [False, True, True, True]
    assert found.report.missing["i0"].startswith("too short: 320 samples at 16,000 per second")


# --- settings ---


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (StftConfig, {"num_mels": 3}, "num_mels"),
        (LogmelConfig, {"num_coefficients": 3}, "num_coefficients"),
        (MfccConfig, {"layer": 3}, "layer"),
        (MfccConfig, {"num_coefficients": 65}, "num_coefficients is larger than num_mels = 64"),
        (MfccConfig, {"hop_ms": 26}, "hop_ms is larger than window_ms"),
        (MfccConfig, {"window_ms": 0.5, "hop_ms": 0.5}, r"are 8 and 8 samples at rate = 16000"),
        (MfccConfig, {"hop_ms": 0.01}, r"are 400 and 0 samples"),
        (MfccConfig, {"window_ms": 2000, "max_seconds": 1}, "longer than max_seconds"),
        (MfccConfig, {"rate": 999}, "rate"),
        (MfccConfig, {"max_seconds": 0}, "max_seconds"),
        (MfccConfig, {"audio": "sounds"}, r"must say where the item comes in"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config, settings, message):
    with pytest.raises(ValidationError, match=message):
        config(**{"audio": "{item}.wav", **settings})


def test_too_many_bands_are_refused(sounds):
    with pytest.raises(ConfigError, match="num_mels = 300 is too many for windows of 400 samples"):
        tiny.encode(sounds, "logmel", num_mels=300)


def test_a_device_that_would_not_be_used_is_refused(sounds):
    with pytest.raises(ConfigError, match="device = 'cpu': stft has no network"):
        tiny.encode(sounds, "stft", device="cpu")


def test_what_has_no_weights_is_not_trained(sounds):
    with pytest.raises(ConfigError, match="fine_tune: mfcc has no weights to train"):
        tiny.encode(sounds, "mfcc", fine_tune="all")


# --- meaning ---


@pytest.mark.parametrize("name", ["logmel", "mfcc"])
def test_the_planted_pitch_can_be_read_from_the_rows(tmp_path, name):
    truth = planted_pictures(0, 5, 80, tmp_path, per_user=3)
    config = ENCODERS[name].Config.model_validate(
        {"audio": f"{tmp_path}/{{tone}}", "store": tmp_path / "store"}
    )
    found = encode(load(truth.data), {"sound": config})["sound"]
    assert found.present.tolist() == truth.present["tone"].tolist()
    rows, pitch = found.values[found.present], truth.factors["pitch"][found.present]
    half = len(rows) // 2
    centres = np.stack([rows[:half][pitch[:half] == each].mean(axis=0) for each in range(4)])
    distances = ((rows[half:, None] - centres) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == pitch[half:]).mean() > 0.9
