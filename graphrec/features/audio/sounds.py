"""Decode a sound file into mono samples at one rate, or explain why it cannot be decoded."""

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from graphrec.features.content.networks import UnreadableError, decoding, opened

if TYPE_CHECKING:
    from soundfile import SoundFile

Samples = npt.NDArray[np.float32]

LIBRARIES = ("librosa", "soundfile", "soxr", "numpy")
"""Libraries that samples depend on."""

SILENCE = 2.0**-15
"""Range of samples below which a sound is silent: one step of 16 bits."""

LOUDEST = 2.0**32
"""Bound of valid samples: full scale is 1, or 2^31 where integers were written as floats."""

RATES = (1_000, 768_000)
"""Lowest and highest plausible sampling rate, per second, in a header."""

BLOCK = 2**18
"""Numbers decoded at once, over all channels; this bounds the memory for many channels."""

ENDLESS = 2**31 - 2**16
"""Length in the header of a WAV file from here on if it was written before it was known."""

DECODING = (
    "first max_seconds, mean over channels, soxr HQ; nothing that is silent there, that is, varies "
    "by less than 2^-15"
)
"""Description of ``read_sound``; part of the identity of every encoder of sounds."""


def read_sound(path: str, key: str, rate: int, max_seconds: float, min_samples: int = 2) -> Samples:
    """Decode the first ``max_seconds`` of a sound as mono at ``rate`` samples per second, ``[n]``.

    The file may have any length, rate, number of channels and bits. No more than the given seconds
    are decoded, and only the mean over the channels is in memory. Ogg, and MP3 without a Xing
    header, do not state their length: if cut short, they are taken for a shorter sound.

    Raises:
        UnreadableError: the file is no sound, cut short, damaged, shorter than ``min_samples`` at
            ``rate``, silent, or no longer the file whose sha256 is ``key``.
    """
    import librosa

    with decoding():
        mono, source_rate, is_whole = _decoded(path, key, max_seconds)
        _require_sense(mono)
        result: Samples = librosa.resample(
            mono, orig_sr=source_rate, target_sr=rate, res_type="soxr_hq", fix=False
        )[: round(max_seconds * rate)]
    if len(result) < min_samples:
        raise UnreadableError(
            f"too short: {len(result)} samples at {rate:,} per second, at least {min_samples} are "
            f"needed"
        )
    if np.ptp(mono) < SILENCE:
        raise UnreadableError("silent" if is_whole else f"silent in its first {max_seconds:g} s")
    return result


def _decoded(path: str, key: str, max_seconds: float) -> tuple[Samples, int, bool]:
    """Return the mean over the channels, its rate, and whether it covers the whole file."""
    import soundfile

    try:
        with opened(path, key) as file, soundfile.SoundFile(file) as sound:
            rate = int(sound.samplerate)
            if not RATES[0] <= rate <= RATES[1]:
                raise UnreadableError(
                    f"a sampling rate of {rate:,} per second, not {RATES[0]:,} to {RATES[1]:,}"
                )
            wanted = int(np.ceil(max_seconds * rate))
            mono = _mono(sound, wanted)
            _require_whole(sound, len(mono), wanted)
            return mono, rate, len(mono) < wanted
    except soundfile.LibsndfileError as error:
        if error.prefix.startswith("Error opening"):
            raise UnreadableError("not a sound of a known format") from error
        raise UnreadableError(f"damaged: {error.error_string}") from error
    except TypeError as error:  # a file named *.raw has no header
        raise UnreadableError("not a sound of a known format") from error


def _require_sense(mono: Samples) -> None:
    """Refuse a sound without samples, or with samples that are not finite or too large.

    Raises:
        UnreadableError: the samples are of no use.
    """
    if not len(mono):
        raise UnreadableError("no samples")
    if not np.isfinite(mono).all():
        raise UnreadableError("damaged: samples that are not finite (NaN or infinity)")
    if np.abs(mono).max() > LOUDEST:
        raise UnreadableError(f"damaged: samples up to {np.abs(mono).max():.0e}")


def _mono(sound: "SoundFile", wanted: int) -> Samples:
    """Average over the channels, block by block."""
    size = max(1, BLOCK // sound.channels)
    parts = [np.empty(0, dtype=np.float32)]
    left = wanted
    while left > 0:
        block = sound.read(min(size, left), dtype="float32", always_2d=True)
        parts.append(block.mean(axis=1, dtype=np.float32))
        left -= len(block)
        if len(block) < size:
            break
    return np.concatenate(parts)


def _require_whole(sound: "SoundFile", read: int, wanted: int) -> None:
    """Refuse a file that ends before the length in its header, within the wanted part.

    Raises:
        UnreadableError: the file is cut short.
    """
    if read < min(wanted, sound.frames):
        raise UnreadableError(
            f"damaged: it ends after {read:,} of {sound.frames:,} samples per channel"
        )
    # libsndfile lowers the length of WAV and AIFF to the bytes present, and notes it in its log.
    noted = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if noted and read < wanted:
        promised, lying = int(noted[1]), int(noted[2])
        if lying < promised < ENDLESS:
            raise UnreadableError(f"damaged: it ends after {lying:,} of {promised:,} bytes")
