"""A sound file -> mono samples at one rate, or why there are none."""

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from graphrec.features.content.networks import UnreadableError, decoding, opened

if TYPE_CHECKING:
    from soundfile import SoundFile

Samples = npt.NDArray[np.float32]

LIBRARIES = ("librosa", "soundfile", "soxr", "numpy")
"""What samples depend on besides the file."""

SILENCE = 2.0**-15
"""Samples that differ by less than one step of 16 bits are silence."""

LOUDEST = 2.0**32
"""Larger samples are damage: full scale is 1, or 2^31 where integers were written as floats."""

RATES = (1_000, 768_000)
"""Lowest and highest sampling rate, per second, that a header may sensibly claim."""

BLOCK = 2**18
"""Numbers decoded at once, over all channels: what bounds the memory of a file of many."""

ENDLESS = 2**31 - 2**16
"""So many bytes stand in the header of a WAV that was written before its length was known."""

DECODING = (
    "first max_seconds, mean over channels, soxr HQ; nothing that is silent there, that is, varies "
    "by less than 2^-15"
)
"""What ``read_sound`` does; part of the identity of every encoder of sounds."""


def read_sound(path: str, key: str, rate: int, max_seconds: float, min_samples: int = 2) -> Samples:
    """Decode the first ``max_seconds`` of a sound as mono at ``rate`` samples per second, ``[n]``.

    A file of any length, rate, number of channels and bits; never more than that is decoded, and
    only the mean over the channels is held. Ogg, and MP3 without a Xing header, do not say how
    long they are: cut short, they are a shorter sound.

    Raises:
        UnreadableError: it is no sound, cut short, damaged, shorter than ``min_samples`` at
            ``rate``, silent, or no longer the file whose sha256 is ``key``.
    """
    import librosa

    with decoding():
        mono, found, is_whole = _decoded(path, key, max_seconds)
        _require_sense(mono)
        result: Samples = librosa.resample(
            mono, orig_sr=found, target_sr=rate, res_type="soxr_hq", fix=False
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
    """Return the mean over the channels, its rate, and whether that is the whole file."""
    import soundfile

    try:
        with opened(path, key) as file, soundfile.SoundFile(file) as sound:
            found = int(sound.samplerate)
            if not RATES[0] <= found <= RATES[1]:
                raise UnreadableError(
                    f"a sampling rate of {found:,} per second, not {RATES[0]:,} to {RATES[1]:,}"
                )
            wanted = int(np.ceil(max_seconds * found))
            mono = _mono(sound, wanted)
            _require_whole(sound, len(mono), wanted)
            return mono, found, len(mono) < wanted
    except soundfile.LibsndfileError as error:
        if error.prefix.startswith("Error opening"):
            raise UnreadableError("not a sound of a known format") from error
        raise UnreadableError(f"damaged: {error.error_string}") from error
    except TypeError as error:  # a file named *.raw, which says nothing about itself
        raise UnreadableError("not a sound of a known format") from error


def _require_sense(mono: Samples) -> None:
    """Raise UnreadableError if there are no samples, or some that are no numbers to work with."""
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
    """Raise UnreadableError if the file ends before what its header promises and is wanted."""
    if read < min(wanted, sound.frames):
        raise UnreadableError(
            f"damaged: it ends after {read:,} of {sound.frames:,} samples per channel"
        )
    # libsndfile lowers the promise of WAV and AIFF to what is there, and notes it in its log.
    noted = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if noted and read < wanted:
        promised, lying = int(noted[1]), int(noted[2])
        if lying < promised < ENDLESS:
            raise UnreadableError(f"damaged: it ends after {lying:,} of {promised:,} bytes")
