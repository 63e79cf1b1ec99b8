"""A small network over log-mel spectrograms: convolutions, then an LSTM over time."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import elu, max_pool2d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from graphrec.core.config import Json
from graphrec.core.rng import stream_seed
from graphrec.features.audio.encoder import SoundEncoder
from graphrec.features.audio.sounds import LIBRARIES
from graphrec.features.audio.spectra import MelConfig, log_mels, mel_filters
from graphrec.features.config import FeatureConfig
from graphrec.features.content.config import FineTune
from graphrec.features.content.networks import Network
from graphrec.features.content.weights import versions

CHANNELS = (16, 32, 64)
"""Channels of the convolutions; each halves bands and frames."""

SHRINK = 2 ** len(CHANNELS)
"""Frames, and bands, behind one of those that the LSTM reads."""

ARCHITECTURE = (
    f"log mels / 40 + 1; conv 3 x 3, layer norm per frame, ELU, max pool 2 x 2 with "
    f"{', '.join(map(str, CHANNELS))} channels; LSTM, Xavier"
)
"""What the network is; part of the identity."""


class CnnLstmConfig(MelConfig):
    """Sound files and a network over their spectrograms, whose weights are random at first."""

    encoder: str = "cnn_lstm"
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""
    batch_size: PositiveInt = 8
    """Sounds per step of the network."""
    seed: NonNegativeInt = 0
    """Seed of the weights."""
    dim: PositiveInt = 128
    """Width of the LSTM and of a row."""
    pooling: Literal["mean", "last"] = "mean"
    """Mean of the states of the LSTM over time, or the last one."""
    fine_tune: FineTune = "all"
    """all, last:N, or none for random features: which layers are trained with the recommender."""
    fine_tune_lr_scale: PositiveFloat = 1.0
    """Learning rate of the network as a multiple of training.lr."""

    @model_validator(mode="after")
    def _bands_and_seconds_suffice(self) -> Self:
        if self.num_mels < SHRINK:
            raise ValueError(f"num_mels is smaller than {SHRINK}, by which the convolutions divide")
        if self.window + (SHRINK - 1) * self.hop > self.rate * self.max_seconds:
            raise ValueError(
                f"max_seconds is too short for the {SHRINK} windows that the network needs"
            )
        return self


class CnnLstmEncoder(SoundEncoder):
    """A convolutional recurrent network: ``h_t = LSTM(CNN(L))_t``, ``x = mean_t h_t`` or ``h_T``.

    L are the decibels of ``logmel``. The weights are random at first and are trained together with
    the recommender.

    Source: Choi et al. 2017, choi2017convolutional.
    Deviations: three convolutions with pools of 2 x 2 for four with larger ones; an LSTM for two
    GRUs; layer norm for batch norm, so that a row depends neither on its batch nor on padding; no
    dropout.
    """

    Config: ClassVar[type[FeatureConfig]] = CnnLstmConfig

    def __init__(self, config: CnnLstmConfig) -> None:
        super().__init__(config)
        self.config = config
        self.filters = mel_filters(config)

    def identity(self) -> dict[str, Json]:
        """Seed, architecture and every setting that changes a row."""
        config = self.config
        return {
            "encoder": config.encoder,
            "seed": config.seed,
            "architecture": ARCHITECTURE,
            "dim": config.dim,
            "pooling": config.pooling,
            **config.settings(),
            **self.decoding(),
            "versions": versions(*LIBRARIES, "torch"),
        }

    def licence(self) -> str:
        """There are no weights of others."""
        return "none needed"

    def network(self) -> Network:
        """Spectrograms ``[T, num_mels]`` of any length; the module can be trained."""
        config = self.config
        min_samples = config.window + (SHRINK - 1) * config.hop
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, "weights"))
            module = CnnLstm(config.num_mels, config.dim, config.pooling)

        def prepare(path: str, key: str) -> Tensor:
            samples = self.samples(path, key, config.rate, min_samples)
            decibels = torch.from_numpy(log_mels(samples, config, self.filters))
            return decibels.T / 40 + 1

        return Network(prepare, pad, module.eval())


def pad(spectrograms: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Collate spectrograms ``[T, num_mels]``: padded ``[b, T, num_mels]``, and frames ``[b]``."""
    frames = torch.tensor([len(each) for each in spectrograms])
    return pad_sequence(list(spectrograms), batch_first=True), frames


class CnnLstm(nn.Module):
    """Spectrograms ``[b, T, num_mels]`` and how many frames each has ``[b]`` -> ``[b, dim]``."""

    def __init__(self, num_mels: int, dim: int, pooling: Literal["mean", "last"]) -> None:
        super().__init__()
        inputs = (1, *CHANNELS[:-1])
        bands = [num_mels // 2**level for level in range(len(CHANNELS) + 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=1)
            for before, after in zip(inputs, CHANNELS, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm((channels, width))
            for channels, width in zip(CHANNELS, bands[:-1], strict=True)
        )
        self.lstm = nn.LSTM(CHANNELS[-1] * bands[-1], dim, batch_first=True)
        # The default scales by the states alone, and so many inputs would saturate the gates.
        nn.init.xavier_uniform_(self.lstm.get_parameter("weight_ih_l0"))
        self.pooling = pooling

    def forward(self, spectrograms: Tensor, frames: Tensor) -> Tensor:
        """Return one row per sound; frames after its last one have no influence."""
        maps = spectrograms[:, None]  # [b, channels, frames, bands]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = norm(convolution(maps).transpose(1, 2)).transpose(1, 2)
            maps = max_pool2d(elu(maps), 2)
            frames = frames // 2
            # What a convolution sees behind the end must be the zeros of its own padding.
            inside = torch.arange(maps.shape[2], device=maps.device) < frames[:, None]
            maps = maps * inside[:, None, :, None]
        vectors = maps.transpose(1, 2).flatten(2)
        packed = pack_padded_sequence(vectors, frames.cpu(), batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        if self.pooling == "last":
            return last[-1]
        padded, _ = pad_packed_sequence(states, batch_first=True)
        return padded.sum(dim=1) / frames[:, None]
