"""Define the interface of networks for sounds, and the handling of windows of long sounds."""

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
    """A loaded network for sounds.

    Attributes:
        rate: samples per second of its input.
        min_samples: samples of its shortest input.
        prepare: function from samples to one input.
        collate: function from some inputs to the arguments of the module.
        module: network from these arguments to rows ``[b, F]``.
    """

    rate: int
    min_samples: int
    prepare: Callable[[Samples], Tensor]
    collate: Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
    module: nn.Module


class SoundNetwork(ABC):
    """Base of the networks for sounds; its identity is known before it is loaded."""

    libraries: ClassVar[tuple[str, ...]]
    """Libraries that a row depends on."""

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return all that a row depends on, besides the samples and the libraries."""

    @abstractmethod
    def licence(self) -> str:
        """Return the licence of the weights, as far as their source states one."""

    @abstractmethod
    def load(self) -> LoadedAudioModel:
        """Read the weights and build the network, on the CPU, in evaluation mode."""


def join(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Collate the windows ``[p, ...]`` of some sounds: all windows, and their number per sound."""
    return torch.cat(tuple(inputs)), torch.tensor([len(windows) for windows in inputs])


def in_steps(work: Callable[[Tensor], Tensor], pieces: Tensor) -> Tensor:
    """Apply ``work`` to a bounded number of windows at a time."""
    return torch.cat([work(part) for part in pieces.split(PIECES)])


def over_pieces(rows: Tensor, counts: Tensor) -> Tensor:
    """Average the rows ``[p, F]`` of the windows of each sound, ``[b, F]``."""
    return torch.stack([part.mean(dim=0) for part in rows.split(counts.tolist())])
