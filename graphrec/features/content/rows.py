"""Provide the rows of an encoder that is trained inside a model."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.progress import track
from graphrec.data.features import LearnedRows
from graphrec.features.content.networks import Network, UnreadableError

THREADS = 4
NUMBERED = re.compile(r"((?:[^.]+\.)*?[^.\d]*\d+)\.[^.]+\.")


@dataclass(frozen=True)
class FineTuning:
    """Settings of the training of an encoder with the recommender.

    Attributes:
        layers: ``all`` or ``last:N``.
        max_items: number of items of a step whose rows are computed anew, with a gradient.
        batch_size: contents that go through the network at once.
        lr_scale: learning rate of the encoder as a multiple of the recommender's.
        checkpointing: recompute activations in the backward pass instead of keeping them.
        unit: scale rows to length 1.
    """

    layers: str
    max_items: int
    batch_size: int
    lr_scale: float
    checkpointing: bool
    unit: bool


class TrainableRows(LearnedRows):
    """Rows ``[I, F]`` of an encoder that is trained by the recommender's loss.

    Inside ``live(items)`` the rows of these items are computed anew, with a gradient; all others
    keep the values of the last ``refresh``. Outside, rows always fit the current weights. The
    encoder stays in evaluation mode: no dropout, and batch statistics as they were pretrained.
    Only the weights that are trained belong to the model's state; the others follow from the
    configuration.

    Args:
        values: rows of the untrained encoder, ``[I, F]``.
        contents: source and sha256 of each item's content, None where it has none, ``[I]``.
        network: the encoder.
        settings: the settings of its training.

    Raises:
        ConfigError: the encoder has nothing to train, or fewer layers than requested.
    """

    values: Tensor
    present: Tensor

    def __init__(
        self,
        values: Tensor,
        contents: Sequence[tuple[str, str] | None],
        network: Network,
        settings: FineTuning,
    ) -> None:
        super().__init__()
        self.register_buffer("values", values.clone(), persistent=False)
        present = torch.tensor([content is not None for content in contents])
        self.register_buffer("present", present, persistent=False)
        self.settings, self._contents = settings, contents
        self.lr_scale = settings.lr_scale
        self._unregistered = (network,)  # in a tuple: its frozen weights are no state of the model
        self._fresh: tuple[Tensor, Tensor] | None = None
        self._stale = False
        self.weights = nn.ParameterDict()
        for name, weight in self._chosen().items():
            self.weights[name.replace(".", "/")] = weight
        self.register_load_state_dict_post_hook(lambda module, _: _outdate(module))

    @property
    def network(self) -> Network:
        """Return the encoder."""
        return self._unregistered[0]

    def forward(self) -> Tensor:
        """Return the rows ``[I, F]``."""
        if self._fresh is None:
            self.refresh()
            return self.values
        items, rows = self._fresh
        return self.values.index_copy(0, items, rows)

    @contextmanager
    def live(self, items: Tensor) -> Iterator[None]:
        """Compute the rows of ``items`` (any shape, repeats allowed) anew inside the block."""
        chosen = items.unique()
        chosen = chosen[self.present[chosen]]
        if len(chosen) > self.settings.max_items:
            order = torch.randperm(len(chosen))[: self.settings.max_items]
            chosen = chosen[order.to(chosen.device)]
        self._fresh = (chosen, self._encoded(chosen))
        self._stale = True  # a step on the weights follows
        try:
            yield
        finally:
            self._fresh = None

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute all rows with the current weights, if the weights have changed."""
        if not self._stale:
            return
        parts = self.present.nonzero().squeeze(1).split(self.settings.batch_size)
        for part in track(parts, "Encoding anew", len(parts)):
            self.values[part] = self._encoded(part)
        self._stale = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.network.module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def _encoded(self, items: Tensor) -> Tensor:
        """Return the rows ``[n, F]`` of some items that have content."""
        if not len(items):
            return self.values[items]
        with ThreadPoolExecutor(THREADS) as pool:
            rows = torch.cat(
                [self._run(part, pool) for part in items.split(self.settings.batch_size)]
            )
        rows = rows.to(self.values.dtype)
        return functional.normalize(rows, dim=1) if self.settings.unit else rows

    def _run(self, items: Tensor, pool: ThreadPoolExecutor) -> Tensor:
        chosen = [self._contents[item] for item in items.tolist()]
        contents = [content for content in chosen if content is not None]
        try:
            inputs = list(pool.map(lambda content: self.network.prepare(*content), contents))
        except UnreadableError as error:
            sources = ", ".join(source[:80] for source, _ in contents[:3])
            raise DataError(f"A content among {sources}, ... cannot be read: {error}.") from error
        arguments = [argument.to(self.values.device) for argument in self.network.collate(inputs)]
        rows: Tensor
        if self.settings.checkpointing and torch.is_grad_enabled():
            rows = checkpoint(self.network.module, *arguments, use_reentrant=False)
        else:
            rows = self.network.module(*arguments)
        return rows

    def _chosen(self) -> dict[str, nn.Parameter]:
        """Return the weights to train, and freeze all others."""
        module = self.network.module.eval().requires_grad_(True)
        first = self.present.nonzero()[:1].squeeze(1)
        with torch.enable_grad():
            probe = self._encoded(first).sum()
        if probe.requires_grad:
            probe.backward()
        used = {name: w for name, w in module.named_parameters() if w.grad is not None}
        module.zero_grad(set_to_none=True)
        module.requires_grad_(False)
        chosen = used
        if self.settings.layers != "all" and used:
            count = int(self.settings.layers.removeprefix("last:"))
            names = layers([*used])
            if count > len(names):
                raise ConfigError(
                    f"fine_tune = 'last:{count}', but the encoder has {len(names)} layers. Use at "
                    f"most that many, or 'all'."
                )
            begin = next(at for at, name in enumerate(used) if name.startswith(names[-count] + "."))
            chosen = dict(list(used.items())[begin:])
        if not chosen:
            raise ConfigError("fine_tune: this encoder has no weights to train. Remove it.")
        for weight in chosen.values():
            weight.requires_grad_(True)
        return chosen


def _outdate(module: nn.Module) -> None:
    assert isinstance(module, TrainableRows)
    module._stale = True


def layers(names: Sequence[str]) -> list[str]:
    """Return the names of the layers that hold some weights, in their order.

    The layers are the outermost numbered modules with parts of their own, if there are several of
    one kind: ``encoder.layer.3`` of a transformer, ``layer4`` of a residual network. Without such
    modules, every module with weights is a layer.
    """
    numbered = [match[1] for match in map(NUMBERED.match, names) if match]
    members = {name: re.sub(r"\d+$", "", name) for name in numbered}
    kinds = Counter(members.values())
    repeated = [name for name, kind in members.items() if kinds[kind] > 1]
    return repeated or list(dict.fromkeys(name.rpartition(".")[0] for name in names))
