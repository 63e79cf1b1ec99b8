import hashlib
import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="needs graphrec[encoders]")

import soundfile

from graphrec.features.audio import sounds
from graphrec.features.audio.sounds import read_sound
from graphrec.features.content.networks import UnreadableError

RATE = 16_000


def read(
    path: Path, rate: int = RATE, max_seconds: float = 30.0, min_samples: int = 2
) -> np.ndarray:
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    return read_sound(str(path), key, rate, max_seconds, min_samples)


def tone(hertz: float = 440.0, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, count)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


# --- what can be read ---


@pytest.mark.parametrize(
    ("subtype", "steps"),
    [("PCM_U8", 2**7), ("PCM_16", 2**15), ("PCM_24", 2**23), ("PCM_32", 2**23), ("FLOAT", 2**23)],
)
def test_integers_of_all_sizes_and_floats_become_floats(tmp_path, subtype, steps):
    found = read(write(tmp_path / "a.wav", tone(), subtype=subtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(), atol=1 / steps)


@pytest.mark.parametrize(
    ("ending", "error"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.05)]
)
def test_every_format_gives_the_same_sound(tmp_path, ending, error):
    found = read(write(tmp_path / f"a.{ending}", tone()))
    assert len(found) == 8000
    np.testing.assert_allclose(found[500:-500], tone()[500:-500], atol=error)


@pytest.mark.parametrize("channels", [1, 2, 6, 40])
def test_channels_are_averaged(tmp_path, channels):
    samples = noise(1000)[:, None] * np.arange(1, channels + 1) / channels
    found = read(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_allclose(found, samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [7_999, 8_000, 22_050, 44_100, 96_000])
def test_any_rate_becomes_the_one_asked_for(tmp_path, rate):
    found = read(write(tmp_path / "a.wav", tone(rate=rate), rate, "FLOAT"))
    assert abs(len(found) - 8000) <= 2
    inside = slice(500, 7500)  # at its ends a resampled sound rings
    np.testing.assert_allclose(found[inside], tone()[inside], atol=2e-3)


def test_of_a_long_sound_the_first_seconds_count(tmp_path):
    samples = noise(RATE * 4)
    whole, start = tmp_path / "a.wav", tmp_path / "b.wav"
    found = read(write(whole, samples, subtype="FLOAT"), max_seconds=1.5)
    np.testing.assert_array_equal(found, samples[: RATE * 3 // 2].astype(np.float32))
    found = read(write(start, samples, 44_100, subtype="FLOAT"), max_seconds=0.7)
    assert len(found) == round(0.7 * RATE)
    # 333.1 samples are asked for, 334 are read, and what is too much is cut off.
    found = read(write(start, samples[:1000], 1000, subtype="FLOAT"), max_seconds=0.3331)
    assert len(found) == round(0.3331 * RATE)


def test_of_a_huge_file_little_is_in_memory(tmp_path):
    # Ten minutes of 8 channels: 300 MB, were they unpacked.
    path, size = tmp_path / "a.wav", 600 * RATE * 8
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt ")
        file.write(struct.pack("<IHHIIHH", 16, 1, 8, RATE, RATE * 8, 8, 8) + b"data")
        file.write(struct.pack("<I", size) + bytes(range(256)))
        file.truncate(size + 44)  # a hole, which takes no room on the disk
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()
    tracemalloc.start()
    assert len(read_sound(str(path), key, RATE, 10.0)) == 10 * RATE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_the_end_of_the_name_does_not_matter(tmp_path):
    for name in ("a.mp3", "b", "c.raw"):
        write(tmp_path / "x.wav", tone()).rename(tmp_path / name)
    np.testing.assert_allclose(read(tmp_path / "a.mp3"), tone(), atol=1e-4)
    np.testing.assert_allclose(read(tmp_path / "b"), tone(), atol=1e-4)
    with pytest.raises(UnreadableError, match="not a sound of a known format"):
        read(tmp_path / "c.raw")


def test_a_wav_written_before_its_length_was_known_is_whole(tmp_path):
    content = bytearray(write(tmp_path / "a.wav", tone()).read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), tone(), atol=1e-4)


# --- what cannot ---


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>" * 9, b"RIFF", b"ID3" + bytes(200), b"fLaC" + bytes(9)]
)
def test_what_is_no_sound_is_said_to_be_none(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"^not a sound of a known format$"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("wav", r"damaged: it ends after 1\d,\d\d\d of 32,000 bytes"),
        ("aiff", r"damaged: it ends after 1\d,\d\d\d of 32,008 bytes"),
        ("flac", "damaged: "),
        ("mp3", r"damaged: it ends after [\d,]+ of 16,000 samples per channel"),
    ],
)
def test_a_sound_cut_short_is_damaged(tmp_path, ending, message):
    path = write(tmp_path / f"a.{ending}", noise(RATE))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableError, match=message):
        read(path)


@pytest.mark.parametrize("ending", ["wav", "mp3"])
def test_a_cut_behind_what_is_read_does_not_matter(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}", noise(RATE * 2))
    expected = read(path, max_seconds=0.5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_array_equal(read(path, max_seconds=0.5), expected)


def test_an_ogg_cut_short_is_a_shorter_sound_as_it_never_says_its_length(tmp_path):
    path = write(tmp_path / "a.ogg", noise(RATE * 9))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(read(path)) < RATE * 9


@pytest.mark.parametrize("ending", ["flac", "mp3"])
def test_a_sound_with_a_hole_is_damaged(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}", noise(RATE * 2))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="damaged: "):
        read(path)


def test_a_sound_without_samples_is_refused(tmp_path):
    with pytest.raises(UnreadableError, match=r"^no samples$"):
        read(write(tmp_path / "a.wav", np.zeros(0)))


def test_a_sound_too_short_says_how_short(tmp_path):
    with pytest.raises(UnreadableError, match=r"too short: 1 samples at 16,000 .* at least 2"):
        read(write(tmp_path / "a.wav", np.ones(1)))
    path = write(tmp_path / "b.wav", noise(300))
    assert len(read(path, min_samples=300)) == 300
    with pytest.raises(
        UnreadableError, match=r"too short: 300 samples .*, at least 400 are needed"
    ):
        read(path, min_samples=400)
    with pytest.raises(UnreadableError, match=r"too short: 150 samples at 8,000 per second"):
        read(path, rate=8000, min_samples=400)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_a_silent_sound_is_refused(tmp_path, level):
    path = write(tmp_path / "a.wav", np.full(RATE, level) + 1e-7 * noise(RATE), subtype="FLOAT")
    with pytest.raises(UnreadableError, match=r"^silent$"):
        read(path)
    with pytest.raises(UnreadableError, match=r"^silent in its first 0\.5 s$"):
        read(path, max_seconds=0.5)


def test_channels_that_cancel_each_other_are_silent(tmp_path):
    with pytest.raises(UnreadableError, match=r"^silent$"):
        read(write(tmp_path / "a.wav", np.stack([tone(), -tone()], axis=1)))


def test_the_quietest_sound_of_16_bits_is_not_silent(tmp_path):
    quiet = np.round(noise(RATE) + 0.5).astype(np.int16)
    assert read(write(tmp_path / "a.wav", quiet)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, value):
    samples = tone()
    samples[7] = value
    with pytest.raises(UnreadableError, match=r"damaged: samples that are not finite"):
        read(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_samples_that_would_overflow_are_refused(tmp_path):
    path = write(tmp_path / "a.wav", tone() * 2.0**31, subtype="FLOAT")
    assert read(path).max() > 1e9
    with pytest.raises(UnreadableError, match=r"damaged: samples up to 5e\+24"):
        read(write(path, tone() * 1e25, subtype="FLOAT"))


def test_a_rate_that_cannot_be_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 2_000_000_000, 0, "NONE", ""))
        file.writeframes(bytes(100))
    with pytest.raises(UnreadableError, match="a sampling rate of 2,000,000,000 per second, not 1"):
        read(path)


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path):
    write(tmp_path / "a.wav", tone())
    with pytest.raises(UnreadableError, match="changed while it was encoded"):
        read_sound(str(tmp_path / "a.wav"), "0" * 64, RATE, 30.0)


def test_a_file_that_vanished_since_it_was_hashed_is_refused(tmp_path):
    with pytest.raises(UnreadableError, match="unreadable file: No such file"):
        read_sound(str(tmp_path / "a.wav"), "0" * 64, RATE, 30.0)


@pytest.mark.parametrize("error", [SystemError("x"), MemoryError(), UserWarning("x")])
def test_whatever_a_decoder_raises_is_damage_of_that_file(tmp_path, monkeypatch, error):
    def broken(*_: object) -> None:
        raise error

    (tmp_path / "a.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(sounds, "_decoded", broken)
    with pytest.raises(UnreadableError, match="damaged"):
        read(tmp_path / "a.wav")
