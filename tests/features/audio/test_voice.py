import importlib
import json
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.audio.config import AudioConfig
from graphrec.features.audio.voice import VOICE, VoiceModule, partials
from tests.features import tiny_sounds as tiny

needs_weights = pytest.mark.skipif(
    find_spec("resemblyzer") is None, reason="needs the weights of Resemblyzer"
)

# One partial, cut short; one; several, the last left out and padded; many.
SECONDS = (0.4, 1.6, 2.5, 3.4, 6.0)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    tiny.some(tmp_path / "sounds", SECONDS)
    return tmp_path / "sounds"


@pytest.fixture
def resemblyzer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package itself, without the detector of pauses that it imports."""
    morphology = ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))
    monkeypatch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
    package = importlib.import_module("resemblyzer")
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "resemblyzer"]:
        del sys.modules[name]


@needs_weights
def test_rows_are_those_of_resemblyzer(sounds, resemblyzer):
    quiet = 0.01 * tiny.sound(sounds / "i4.wav", 4, 2.0)
    tiny.soundfile.write(sounds / "i4.wav", quiet, 16_000, subtype="FLOAT")
    found = tiny.encode(sounds, VOICE, len(SECONDS), batch_size=3)
    assert found.values.shape == (len(SECONDS), 256)
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    for number, row in enumerate(found.values):
        samples, _ = tiny.soundfile.read(sounds / f"i{number}.wav", dtype="float32")
        samples = resemblyzer.normalize_volume(samples, -30, increase_only=True)
        np.testing.assert_allclose(row, encoder.embed_utterance(samples), atol=1e-4)
    assert found.values.std(axis=0).max() > 0.02


@needs_weights
def test_the_package_is_not_imported(sounds):
    tiny.encode(sounds, VOICE, 1)
    assert "resemblyzer" not in sys.modules


@needs_weights
def test_the_identity_names_weights_and_versions(sounds):
    folder = Path(tiny.encode(sounds, VOICE, 1).report.folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["encoder"], manifest["rate"]) == (VOICE, 16_000)
    assert len(manifest["weights_sha256"]) == 64
    assert set(manifest["versions"]) == {"librosa", "soundfile", "soxr", "numpy", "torch"}


@needs_weights
def test_a_row_does_not_depend_on_its_batch(sounds):
    first = tiny.encode(sounds, VOICE, len(SECONDS), batch_size=1)
    again = tiny.encode(sounds, VOICE, len(SECONDS), store=sounds.parent / "other")
    np.testing.assert_allclose(first.values, again.values, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(first.values, axis=1), 1, atol=1e-5)


def test_partials_overlap_and_the_last_is_mostly_sound():
    # One begins every 770 ms, and has at least 1.2 s of sound.
    for seconds, count in {0.3: 1, 1.6: 1, 1.96: 1, 1.98: 2, 3.4: 3, 30.0: 38}.items():
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 16_000))
        pieces = partials(samples.astype(np.float32))
        assert pieces.shape[1:] == (160, 40)
        assert len(pieces) == count, seconds


def test_a_partial_of_digital_silence_has_no_weight():
    module = VoiceModule()
    with torch.no_grad():
        module.linear.weight.zero_()
        module.linear.bias.fill_(-1.0)
        assert not module(torch.zeros(2, 160, 40), torch.tensor([2])).any()


def test_without_the_package_the_error_says_how_to_get_it(sounds, monkeypatch):
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ConfigError, match=r"pip install --no-deps Resemblyzer==0\.1\.4"):
        tiny.encode(sounds, VOICE)


@pytest.mark.parametrize(
    "content", [b"neither tensors nor anything", {"model_state": {}}, {"x": 1}]
)
def test_a_file_without_the_weights_is_named(sounds, monkeypatch, content):
    path = sounds / "pretrained.pt"
    file = SimpleNamespace(name="pretrained.pt", locate=lambda: path)
    package = SimpleNamespace(files=[file], version="0.1.4")
    monkeypatch.setattr(metadata, "distribution", lambda _: package)
    with pytest.raises(DataError, match=r"the installed package Resemblyzer lacks pretrained\.pt"):
        tiny.encode(sounds, VOICE)
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DataError, match=r"pretrained\.pt holds no weights of package:resemblyzer"):
        tiny.encode(sounds, VOICE)


@pytest.mark.parametrize("settings", [{"layer": 1}, {"pooling": "cls"}])
def test_layer_and_pooling_are_refused(settings):
    with pytest.raises(ValidationError, match="gives one vector per sound: remove layer and pool"):
        AudioConfig(encoder=VOICE, audio="{item}.wav", **settings)
