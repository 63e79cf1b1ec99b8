"""Load networks for sounds from a Hugging Face folder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

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
from graphrec.features.content.networks import Layers, hidden_layer
from graphrec.features.content.weights import (
    folder_licence,
    hub_identity,
    loading,
    missing_extra,
    model_folder,
)

if TYPE_CHECKING:
    from transformers import (
        ASTFeatureExtractor,
        ClapFeatureExtractor,
        PreTrainedModel,
        Wav2Vec2FeatureExtractor,
        WhisperFeatureExtractor,
    )

    from graphrec.features.audio.config import AudioConfig

AST_WINDOW, AST_HOP = 400, 160
"""Samples in a frame of a spectrogram transformer, and samples from frame to frame."""

MIN_SAMPLES = 400
"""Samples of the shortest sound of which a spectrogram is taken: one frame."""


class HubSounds(SoundNetwork):
    """Model of waveforms (wav2vec 2.0, HuBERT, WavLM) or of spectrograms (AST, Whisper, CLAP)."""

    # Where torchaudio is installed, transformers computes spectrograms with it.
    libraries = ("torch", "transformers", "torchaudio")

    def __init__(self, config: "AudioConfig") -> None:
        self.config = config
        self.folder = model_folder(config.encoder, config.revision, config.allow_download)

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of weights and feature extractor, the layer and the pooling."""
        config = self.config
        return {
            **hub_identity(
                config.encoder, config.revision, self.folder, config.layer, config.pooling
            ),
            "preprocessing": "preprocessor_config.json, part of weights_sha256; what is longer "
            "than the window of the model is averaged over windows spread evenly",
        }

    def licence(self) -> str:
        """Return the licence on the model card."""
        return folder_licence(self.folder)

    def load(self) -> LoadedAudioModel:
        """Load model and feature extractor.

        Raises:
            ConfigError: there is no such layer or pooling, or the kind of model is not supported.
            DataError: the folder holds no audio model.
        """
        try:
            import transformers
        except ImportError as error:
            raise missing_extra(error, self.config.encoder) from error
        try:
            extractor = transformers.AutoFeatureExtractor.from_pretrained(
                self.folder, local_files_only=True
            )
            with loading():
                model = transformers.AutoModel.from_pretrained(
                    self.folder, local_files_only=True, dtype=torch.float32
                )
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"encoder = {self.config.encoder!r}: {self.folder} holds no audio model with its "
                f"feature extractor (preprocessor_config.json): {error}"
            ) from error
        if isinstance(extractor, transformers.Wav2Vec2FeatureExtractor):
            return _waves(self.config, extractor, model)
        if isinstance(extractor, transformers.ASTFeatureExtractor):
            return _ast(self.config, extractor, model)
        if isinstance(extractor, transformers.WhisperFeatureExtractor):
            return _whisper(self.config, extractor, model)
        if isinstance(extractor, transformers.ClapFeatureExtractor):
            return _clap(self.config, extractor, model)
        raise ConfigError(
            f"{self.config.encoder} prepares its input by {type(extractor).__name__}, which is "
            f"not supported for audio. Use a model like wav2vec 2.0, AST, Whisper or CLAP."
        )


def _waves(
    config: "AudioConfig", extractor: "Wav2Vec2FeatureExtractor", model: "PreTrainedModel"
) -> LoadedAudioModel:
    """Return a model that reads the samples themselves, at any length."""
    _require_mean(config)
    kernels, strides = (getattr(model.config, f"conv_{name}", ()) for name in ("kernel", "stride"))
    if not kernels or getattr(model.config, "is_encoder_decoder", False):
        raise ConfigError(
            f"{config.encoder} is a {type(model).__name__}, which is not supported for audio. Use "
            f"one like wav2vec 2.0, HuBERT or WavLM."
        )
    needed = 1  # samples that one frame depends on after all convolutions
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        needed = (needed - 1) * stride + kernel
    rate: int = extractor.sampling_rate

    def prepare(samples: Samples) -> Tensor:
        values: Tensor = extractor(samples, sampling_rate=rate, return_tensors="pt").input_values[0]
        return values

    def collate(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return pad_sequence(list(inputs), batch_first=True), torch.tensor(list(map(len, inputs)))

    return LoadedAudioModel(rate, needed, prepare, collate, _Waves(model, config).eval())


def _ast(
    config: "AudioConfig", extractor: "ASTFeatureExtractor", model: "PreTrainedModel"
) -> LoadedAudioModel:
    """Return a transformer over the patches of a spectrogram of fixed size."""
    size = AST_WINDOW + (extractor.max_length - 1) * AST_HOP
    rate: int = extractor.sampling_rate

    def prepare(samples: Samples) -> Tensor:
        pieces = windows(samples, size)
        values: Tensor = extractor(pieces, sampling_rate=rate, return_tensors="pt").input_values
        return values

    return LoadedAudioModel(rate, MIN_SAMPLES, prepare, join, _Patches(model, config).eval())


def _whisper(
    config: "AudioConfig", extractor: "WhisperFeatureExtractor", model: "PreTrainedModel"
) -> LoadedAudioModel:
    """Return the encoder of Whisper, over the frames with sound."""
    _require_mean(config)
    rate: int = extractor.sampling_rate

    def prepare(samples: Samples) -> Tensor:
        pieces = windows(samples, extractor.n_samples)
        features = extractor(pieces, sampling_rate=rate, return_tensors="pt").input_features
        frames = torch.arange(features.shape[2]) < -(-len(pieces[0]) // extractor.hop_length)
        # The mask is passed on as one more band.
        return torch.cat([features, frames.float().expand(len(features), 1, -1)], dim=1)

    module = _Frames(model.get_encoder(), config)
    return LoadedAudioModel(rate, MIN_SAMPLES, prepare, join, module.eval())


def _clap(
    config: "AudioConfig", extractor: "ClapFeatureExtractor", model: "PreTrainedModel"
) -> LoadedAudioModel:
    """Return the audio tower of CLAP."""
    if (config.layer, config.pooling) != (None, "mean"):
        raise ConfigError(
            f"{config.encoder} gives one joint embedding per sound: remove layer and pooling."
        )
    if extractor.truncation == "fusion":
        raise ConfigError(
            f"{config.encoder} mixes parts of a sound that are drawn at random (fusion), so its "
            f"rows cannot be repeated. Use the unfused variant of the model."
        )
    rate: int = extractor.sampling_rate

    def prepare(samples: Samples) -> Tensor:
        pieces = windows(samples, extractor.nb_max_samples)  # none is cut at random
        values: Tensor = extractor(pieces, sampling_rate=rate, return_tensors="pt").input_features
        return values

    return LoadedAudioModel(rate, MIN_SAMPLES, prepare, join, _Joint(model).eval())


class _Waves(nn.Module):
    """Module from waveforms ``[b, n]`` and their lengths ``[b]`` to rows ``[b, F]``.

    Sounds of one length go through the model together and are never padded. Not every model can
    mask padding (those with group norm cannot), and so no row depends on its batch.
    """

    def __init__(self, model: "PreTrainedModel", config: "AudioConfig") -> None:
        super().__init__()
        self.model, self.config = model, config
        self.inner = config.layer is not None

    def forward(self, samples: Tensor, lengths: Tensor) -> Tensor:
        rows, positions = [], []
        for length in lengths.unique().tolist():
            position = (lengths == length).nonzero()[:, 0]
            output: Layers = self.model(samples[position, :length], output_hidden_states=self.inner)
            hidden = hidden_layer(output, self.config.layer, self.config.encoder)
            rows.append(hidden.mean(dim=1))
            positions.append(position)
        return torch.cat(rows)[torch.cat(positions).argsort()]


class _Patches(nn.Module):
    """Module from spectrograms ``[p, T, mels]`` and their number per sound to rows ``[b, F]``."""

    def __init__(self, model: "PreTrainedModel", config: "AudioConfig") -> None:
        super().__init__()
        self.model, self.config = model, config
        self.inner = config.layer is not None

    def forward(self, spectrograms: Tensor, counts: Tensor) -> Tensor:
        return over_pieces(in_steps(self._pooled, spectrograms), counts)

    def _pooled(self, spectrograms: Tensor) -> Tensor:
        output: Layers = self.model(input_values=spectrograms, output_hidden_states=self.inner)
        hidden = hidden_layer(output, self.config.layer, self.config.encoder)
        return hidden[:, 0] if self.config.pooling == "cls" else hidden.mean(dim=1)


class _Frames(_Patches):
    """Module for spectrograms with a mask as last band ``[p, mels + 1, T]``; 2 frames a vector."""

    def _pooled(self, spectrograms: Tensor) -> Tensor:
        output: Layers = self.model(spectrograms[:, :-1], output_hidden_states=self.inner)
        hidden = hidden_layer(output, self.config.layer, self.config.encoder)
        mask = spectrograms[:, -1, ::2, None]
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


class _Joint(nn.Module):
    """Module from spectrograms ``[p, 1, T, mels]`` and their number per sound to ``[b, F]``."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.model = model

    def forward(self, spectrograms: Tensor, counts: Tensor) -> Tensor:
        return over_pieces(in_steps(self._embedded, spectrograms), counts)

    def _embedded(self, spectrograms: Tensor) -> Tensor:
        output = self.model.get_audio_features(input_features=spectrograms)
        return output if isinstance(output, Tensor) else output.pooler_output


def _require_mean(config: "AudioConfig") -> None:
    if config.pooling != "mean":
        raise ConfigError(
            f"pooling = {config.pooling!r}: {config.encoder} has no vector for the whole sound. "
            f"Use mean."
        )


def windows(samples: Samples, size: int) -> list[Samples]:
    """Cut a sound into the fewest windows of ``size`` that cover it, evenly spread.

    A sound shorter than a window stays as it is.
    """
    count = max(1, -(-len(samples) // size))
    starts = np.linspace(0, max(0, len(samples) - size), count).round().astype(int)
    return [samples[start : start + size] for start in starts.tolist()]
