"""Define the interface of networks that turn any content into rows."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from torch import Tensor, nn

from graphrec.core.errors import ConfigError


class UnreadableError(Exception):
    """The content cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class Network:
    """Functions and module that turn contents into rows.

    Attributes:
        prepare: function from a source (text or path) and its sha256 to one input; raises
            UnreadableError. Runs in several threads.
        collate: function from some inputs to the arguments of the module, on the CPU.
        module: the network, in evaluation mode; returns rows ``[b, F]``.
    """

    prepare: Callable[[str, str], Tensor]
    collate: Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
    module: nn.Module


@contextmanager
def opened(path: str, key: str) -> Iterator[BinaryIO]:
    """Open a content file at its start.

    Raises:
        UnreadableError: the file is no longer the one whose sha256 is ``key``.
    """
    with Path(path).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != key:
            raise UnreadableError("the file changed while it was encoded; run again")
        file.seek(0)
        yield file


@contextmanager
def decoding() -> Iterator[None]:
    """Turn any error of a decoder of a damaged file into an UnreadableError.

    Decoders promise nothing: on damage they raise RuntimeError, SystemError, MemoryError and, where
    warnings are errors, warnings. Only decoding may stand inside the block.

    Raises:
        UnreadableError: an error was raised in the block.
    """
    try:
        yield
    except UnreadableError:
        raise
    except MemoryError as error:
        raise UnreadableError("too large for the memory, or damaged") from error
    except OSError as error:
        problem = "unreadable file" if error.filename else "damaged"
        raise UnreadableError(f"{problem}: {error.strerror or error}") from error
    except Exception as error:
        raise UnreadableError(f"damaged: {error or type(error).__name__}") from error


class Layers(Protocol):
    """Output of a model of transformers with its hidden states."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...]


def hidden_layer(output: Layers, layer: int | None, encoder: str) -> Tensor:
    """Return the vectors ``[b, T, F]`` of a hidden layer, by default of the last.

    Raises:
        ConfigError: there is no such layer.
    """
    if layer is None:
        return output.last_hidden_state
    layers = output.hidden_states
    if not -len(layers) <= layer < len(layers):
        raise ConfigError(
            f"layer = {layer}, but {encoder} has the layers 0 to {len(layers) - 1} (or -1 to "
            f"{-len(layers)}, from the last)."
        )
    return layers[layer]
