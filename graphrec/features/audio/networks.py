"""What a network for sounds is, and how sounds are cut into pieces for it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from graphrec.core.config import Json
from graphrec.features.audio.sounds import Samples

PIECES = 32
"""Windows of sounds that go through a network at once, however many a sound has."""


class LoadedAudioModel(NamedTuple):
    """A loaded network.

    Attributes:
        rate: samples per second that it wants.
        min_samples: it cannot hear less.
        prepare: samples -> one input.
        collate: some inputs -> the arguments of the module.
        module: arguments -> rows ``[b, F]``.
    """

    rate: int
    min_samples: int
    prepare: Callable[[Samples], Tensor]
    collate: Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
    module: nn.Module


class SoundNetwork(ABC):
    """A network that can say what it is without being loaded."""

    libraries: ClassVar[tuple[str, ...]]
    """What a row depends on, besides the samples."""

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """All that a row depends on, besides the samples and the libraries."""

    @abstractmethod
    def licence(self) -> str:
        """Under which licence the weights are, as far as their source says."""

    @abstractmethod
    def load(self) -> LoadedAudioModel:
        """Read the weights and build the network, on the CPU, in evaluation mode."""


def join(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Collate the pieces ``[p, ...]`` of some sounds: all pieces, and how many each sound has."""
    return torch.cat(tuple(inputs)), torch.tensor([len(each) for each in inputs])


def in_steps(work: Callable[[Tensor], Tensor], pieces: Tensor) -> Tensor:
    """Apply ``work`` to a bounded number of pieces at a time."""
    return torch.cat([work(part) for part in pieces.split(PIECES)])


def over_pieces(rows: Tensor, counts: Tensor) -> Tensor:
    """Average the rows ``[p, F]`` of the pieces of each sound, ``[b, F]``."""
    return torch.stack([part.mean(dim=0) for part in rows.split(counts.tolist())])
