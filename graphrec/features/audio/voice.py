"""Load Resemblyzer's voice encoder, which represents the speaker and not the words."""

from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.features.audio.networks import (
    LoadedAudioModel,
    SoundNetwork,
    in_steps,
    join,
    over_pieces,
)
from graphrec.features.audio.sounds import Samples
from graphrec.features.content.weights import file_sha256, package_licence

VOICE = "package:resemblyzer"
"""Weights that install from PyPI and work offline. Only their file is used, never the code."""

RATE = 16_000
WINDOW = 400
HOP = 160
MELS = 40
WIDTH = 256

PARTIAL = 160
"""Mel frames of one input of the network: 1.6 seconds."""
STEP = 77
"""Frames from the start of a partial to that of the next: 1.3 starts per second."""
COVERAGE = 0.75
"""Share of sound below which a last partial is left out."""
LOUDNESS = 10 ** (-30 / 20)
"""Root mean square to which quieter sounds are raised: -30 dB of full scale."""


class VoiceNetwork(SoundNetwork):
    """Voice encoder with the weights of the package Resemblyzer; rows of 256 columns >= 0, norm 1.

    ``x = norm(mean_p norm(relu(W h_p + b)))``, h_p the last state of three LSTM layers over the 40
    mel bands (power, not its logarithm) of partial p.

    Source: Wan et al. 2018, wan2018generalized.
    Deviations: Resemblyzer first cuts pauses out with webrtcvad. This step is left out here: the
    binary of webrtcvad does not install everywhere, and a sound need not be speech.
    """

    libraries = ("torch",)

    def __init__(self) -> None:
        self.file = _weights()

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights, and the processing before the network."""
        return {
            "encoder": VOICE,
            "weights_sha256": file_sha256([self.file]),
            "rate": RATE,
            "preprocessing": f"raised to -30 dBFS, {MELS} mels of {WINDOW} samples every {HOP}, "
            f"partials of {PARTIAL} frames every {STEP}, the last with {COVERAGE} of sound",
        }

    def licence(self) -> str:
        """Return the licence of the package with the weights."""
        return package_licence("Resemblyzer")

    def load(self) -> LoadedAudioModel:
        """Build the network and load its weights.

        Raises:
            DataError: the file holds other weights.
        """
        module = VoiceModule()
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)["model_state"]
            # The scale and offset of the training loss do not affect a row.
            module.load_state_dict({k: v for k, v in state.items() if "similarity" not in k})
        except Exception as error:  # torch raises all kinds of errors on bad bytes
            problem = " ".join(str(error).split())[:300]
            raise DataError(f"{self.file} holds no weights of {VOICE}: {problem}") from error
        return LoadedAudioModel(RATE, WINDOW, partials, join, module.eval())


class VoiceModule(nn.Module):
    """Module from partials ``[p, 160, 40]`` and their number per sound ``[b]`` to ``[b, 256]``."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, WIDTH, num_layers=3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mels: Tensor, counts: Tensor) -> Tensor:
        """Average over the partials of each sound."""
        return normalize(over_pieces(in_steps(self._embed, mels), counts), dim=1)

    def _embed(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def partials(samples: Samples) -> Tensor:
    """Cut a sound into overlapping mel spectrograms ``[p, 160, 40]``; pad the last with zeros."""
    from librosa.feature import melspectrogram

    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    samples = samples * np.float32(max(1.0, LOUDNESS / loudness))
    num_frames = -(-(len(samples) + 1) // HOP)
    starts = np.arange(0, max(1, num_frames - PARTIAL + STEP + 1), STEP)
    if len(starts) > 1 and len(samples) - starts[-1] * HOP < COVERAGE * PARTIAL * HOP:
        starts = starts[:-1]
    end = (starts[-1] + PARTIAL) * HOP
    padded = np.pad(samples, (0, max(0, end - len(samples))))
    mels = melspectrogram(y=padded, sr=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=MELS).T
    return torch.from_numpy(np.stack([mels[start : start + PARTIAL] for start in starts]))


def _weights() -> Path:
    """Return the file inside the installed distribution, without importing the package."""
    try:
        files = metadata.distribution("Resemblyzer").files or []
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"encoder = {VOICE!r}: the package Resemblyzer, which holds the weights, is not "
            f"installed. pip install --no-deps Resemblyzer==0.1.4"
        ) from error
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "pretrained.pt" and path.is_file():
            return path
    raise DataError(
        f"encoder = {VOICE!r}: the installed package Resemblyzer lacks pretrained.pt. "
        f"pip install --no-deps --force-reinstall Resemblyzer==0.1.4"
    )
