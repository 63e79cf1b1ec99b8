"""Encode sounds without pretrained weights: by mean and deviation of their spectra."""

import warnings
from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.features.audio.config import SoundConfig
from graphrec.features.audio.encoder import SoundEncoder
from graphrec.features.audio.sounds import LIBRARIES, Samples
from graphrec.features.config import FeatureConfig
from graphrec.features.content.media import stack
from graphrec.features.content.networks import Network
from graphrec.features.content.weights import versions

Frames = npt.NDArray[np.float32]

ROLLOFF = 0.85
"""Share of the magnitude that lies below the rolloff frequency."""

DECIBELS = "10 log10 max(power, 1e-10), at most 80 below the loudest of the sound"
"""Definition of the loudness of a band, for the identity."""


class SpectrumConfig(SoundConfig):
    """Settings of sound files and the windows in which their spectra are taken."""

    rate: int = Field(default=16_000, ge=1_000, le=384_000)
    """Samples per second to which all sounds are resampled; half of it is the top frequency."""
    window_ms: PositiveFloat = 25.0
    """Length of a window in milliseconds, rounded to an even number of samples."""
    hop_ms: PositiveFloat = 10.0
    """Milliseconds from the start of a window to that of the next; at most ``window_ms``."""

    @property
    def window(self) -> int:
        """Return the samples in a window."""
        return 2 * round(self.rate * self.window_ms / 2000)

    @property
    def hop(self) -> int:
        """Return the samples from window to window."""
        return round(self.rate * self.hop_ms / 1000)

    def settings(self) -> dict[str, Json]:
        """Return, for the identity, the settings that the spectra depend on."""
        return {"rate": self.rate, "window_ms": self.window_ms, "hop_ms": self.hop_ms}

    @model_validator(mode="after")
    def _windows_cover_the_sound(self) -> Self:
        if self.window < 16 or self.hop < 1:
            raise ValueError(
                f"window_ms = {self.window_ms:g} and hop_ms = {self.hop_ms:g} are {self.window} "
                f"and {self.hop} samples at rate = {self.rate}; at least 16 and 1 are needed"
            )
        if self.hop > self.window:
            raise ValueError("hop_ms is larger than window_ms: what lies between would be ignored")
        if self.window_ms > 1000 * self.max_seconds:
            raise ValueError("window_ms is longer than max_seconds: no sound could fill a window")
        return self


class MelConfig(SpectrumConfig):
    """Settings of spectra in bands of the mel scale."""

    num_mels: PositiveInt = 64
    """Number of bands of the mel scale, from 0 to half the rate."""

    def settings(self) -> dict[str, Json]:
        """Return, for the identity, the settings that the spectra depend on."""
        return {**super().settings(), "num_mels": self.num_mels, "decibels": DECIBELS}


class LogmelConfig(MelConfig):
    """Settings of sound files and the bands whose loudness is measured."""

    encoder: str = "logmel"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""


class MfccConfig(MelConfig):
    """Settings of sound files and the cepstral coefficients of their spectra."""

    encoder: str = "mfcc"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    num_coefficients: PositiveInt = 20
    """Number of coefficients, the first of which is the loudness; at most ``num_mels``."""

    def settings(self) -> dict[str, Json]:
        """Return, for the identity, the settings that the spectra depend on."""
        return {**super().settings(), "num_coefficients": self.num_coefficients}

    @model_validator(mode="after")
    def _no_more_coefficients_than_bands(self) -> Self:
        if self.num_coefficients > self.num_mels:
            raise ValueError(f"num_coefficients is larger than num_mels = {self.num_mels}")
        return self


class StftConfig(SpectrumConfig):
    """Settings of sound files and the windows in which their spectra are measured."""

    encoder: str = "stft"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""


class SpectrumEncoder(SoundEncoder):
    """Mean and standard deviation over the windows: ``x = [mean_t y_ft, sd_t y_ft]``, width 2F.

    Only whole windows count, so a sound shorter than a window is missing. Nothing is random.
    """

    def __init__(self, config: SpectrumConfig) -> None:
        super().__init__(config)
        self.spectrum = config
        if config.device != "auto":
            raise ConfigError(
                f"device = {config.device!r}: {config.encoder} has no network and is computed on "
                f"the CPU. Remove device."
            )
        if config.fine_tune != "none":
            raise ConfigError(f"fine_tune: {config.encoder} has no weights to train. Remove it.")

    @abstractmethod
    def describe(self, samples: Samples) -> Frames:
        """Describe each window of a sound, ``[F, T]``."""

    def licence(self) -> str:
        """Return that no licence is needed: there are no weights."""
        return "none needed"

    def identity(self) -> dict[str, Json]:
        """Return every setting that changes a row."""
        return {
            "encoder": self.spectrum.encoder,
            **self.spectrum.settings(),
            "statistics": "mean and standard deviation over Hann windows inside the sound",
            **self.decoding(),
            "versions": versions(*LIBRARIES, "scipy"),
        }

    def network(self) -> Network:
        """Return a network whose work is done while files are decoded; its module is empty."""

        def prepare(path: str, key: str) -> Tensor:
            config = self.spectrum
            frames = self.describe(self.samples(path, key, config.rate, config.window))
            return torch.from_numpy(np.concatenate([frames.mean(axis=1), frames.std(axis=1)]))

        return Network(prepare, stack, nn.Identity())


class LogmelEncoder(SpectrumEncoder):
    """Loudness of mel bands, in decibels: ``y_ft = 10 log10 sum_k M_fk |STFT_kt|^2``."""

    Config: ClassVar[type[FeatureConfig]] = LogmelConfig

    def __init__(self, config: LogmelConfig) -> None:
        super().__init__(config)
        self.config = config
        self.filters = mel_filters(config)

    def describe(self, samples: Samples) -> Frames:
        """Measure each band in each window, ``[num_mels, T]``."""
        return log_mels(samples, self.config, self.filters)


class MfccEncoder(SpectrumEncoder):
    """Mel-frequency cepstral coefficients: the first of an orthonormal DCT-II over the bands.

    ``y_ft = s_f sum_m L_mt cos(pi f (m + 1/2) / num_mels)`` of the decibels L of ``logmel``.

    Source: Davis and Mermelstein 1980, davis1980comparison.
    """

    Config: ClassVar[type[FeatureConfig]] = MfccConfig

    def __init__(self, config: MfccConfig) -> None:
        super().__init__(config)
        self.config = config
        self.filters = mel_filters(config)

    def describe(self, samples: Samples) -> Frames:
        """Transform each window into its coefficients, ``[num_coefficients, T]``."""
        from librosa.feature import mfcc

        decibels = log_mels(samples, self.config, self.filters)
        coefficients: Frames = mfcc(S=decibels, n_mfcc=self.config.num_coefficients)
        return coefficients


class StftEncoder(SpectrumEncoder):
    """Six measures of the magnitudes ``S_kt = |STFT_kt|``, frequencies as shares of rate / 2.

    Spectral centroid ``c = sum_k f_k S_k / sum_k S_k``, bandwidth ``sqrt(sum_k S_k (f_k - c)^2 /
    sum_k S_k)``, rolloff (85 % of the magnitude lies below), flatness (geometric over arithmetic
    mean of the power), share of zero crossings, and root mean square of the samples.
    """

    Config: ClassVar[type[FeatureConfig]] = StftConfig

    def __init__(self, config: StftConfig) -> None:
        super().__init__(config)
        self.config = config

    def describe(self, samples: Samples) -> Frames:
        """Measure each window, ``[6, T]``."""
        from librosa import feature

        config = self.config
        magnitudes = np.sqrt(_power(samples, config))
        # In Hz the frequencies would be thousands beside shares, and dominate them.
        shares = np.linspace(0, 1, len(magnitudes))
        frames = {"frame_length": config.window, "hop_length": config.hop, "center": False}
        measures = (
            feature.spectral_centroid(S=magnitudes, freq=shares),
            feature.spectral_bandwidth(S=magnitudes, freq=shares),
            feature.spectral_rolloff(S=magnitudes, freq=shares, roll_percent=ROLLOFF),
            feature.spectral_flatness(S=magnitudes),
            feature.zero_crossing_rate(samples, **frames),
            feature.rms(y=samples, **frames),
        )
        return np.concatenate(measures).astype(np.float32)


def mel_filters(config: MelConfig) -> Frames:
    """Return the triangles of Slaney's mel scale, each of area 1, ``[num_mels, 1 + window / 2]``.

    Raises:
        ConfigError: a band is so narrow that no frequency falls into it.
    """
    from librosa.filters import mel

    with warnings.catch_warnings(action="ignore"):  # empty bands are refused below
        filters: Frames = mel(sr=config.rate, n_fft=config.window, n_mels=config.num_mels)
    if not filters.any(axis=1).all():
        raise ConfigError(
            f"num_mels = {config.num_mels} is too many for windows of {config.window} samples: "
            f"some bands hold no frequency. Lower it, or raise window_ms."
        )
    return filters


def log_mels(samples: Samples, config: MelConfig, filters: Frames) -> Frames:
    """Return the loudness of each band in each window, in decibels, ``[num_mels, T]``."""
    import librosa

    decibels: Frames = librosa.power_to_db(filters @ _power(samples, config))
    return decibels


def _power(samples: Samples, config: SpectrumConfig) -> Frames:
    """Return the power spectrum of each window, ``[1 + window / 2, T]``."""
    import librosa

    spectra = librosa.stft(samples, n_fft=config.window, hop_length=config.hop, center=False)
    power: Frames = np.abs(spectra) ** 2
    return power
