"""Sounds on disk, and encoding a folder of them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("librosa", reason="needs graphrec[encoders]")
pytest.importorskip("soundfile", reason="needs graphrec[encoders]")

import soundfile

from graphrec.features import ENCODERS
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.encode import config_of

RATE = 16_000


def sound(path: Path, seed: int = 0, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """Write two tones and noise, as floats, and return them."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    low, high = rng.uniform(100, 800), rng.uniform(800, 3000)
    samples = 0.3 * np.sin(2 * np.pi * low * time) + 0.2 * np.sin(2 * np.pi * high * time)
    samples += rng.normal(0, 0.02, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return samples.astype(np.float32)


def some(folder: Path, seconds: tuple[float, ...] = (0.5, 0.5, 0.7, 0.9)) -> list[np.ndarray]:
    """Write ``i0.wav`` and so on, and return their samples."""
    return [sound(folder / f"i{n}.wav", n, length) for n, length in enumerate(seconds)]


def encode(folder: Path, encoder: str, count: int = 4, **settings: object) -> EncodedModality:
    """Encode the items ``i0``, ``i1`` and so on through a store beside the folder."""
    table = {
        "encoder": encoder,
        "audio": f"{folder}/{{item}}.wav",
        "store": folder.parent / "store",
        **settings,
    }
    kind = ENCODERS[encoder]
    settings_class = config_of(table, "items", encoder)
    modality = kind(settings_class.model_validate(table)).encode(
        None, pl.Series([f"i{n}" for n in range(count)])
    )
    assert isinstance(modality, EncodedModality)
    return modality
