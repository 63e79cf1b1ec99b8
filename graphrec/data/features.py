"""Define Features: modalities aligned by item id, where missing items are masked."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graphrec.core.digest import digest
from graphrec.core.errors import DataError


class LearnedRows(nn.Module, ABC):
    """Feature rows ``[I, F]`` of an encoder that is trained with the recommender."""

    lr_scale: float
    """Learning rate of the encoder as a multiple of ``training.lr``."""

    @abstractmethod
    def live(self, items: Tensor) -> AbstractContextManager[None]:
        """Compute the rows of ``items`` anew inside the context, with a gradient."""

    @abstractmethod
    def refresh(self) -> None:
        """Recompute all rows with the current weights."""


class FixedRows(nn.Module):
    """Feature rows ``[I, F]`` as they were encoded; not saved with the model."""

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)

    def forward(self) -> Tensor:
        """Return the rows ``[I, F]``."""
        return self.values


BLOCK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Modality:
    """Feature rows of one modality.

    Shapes:
        values: ``[I, F]`` float32; rows without content are zero and carry no meaning.
        present: ``[I]`` bool; False where the item has no such content.
    """

    values: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 of values and mask, the key under which derived data may be reused."""
        return digest(self.values, self.present)

    def rows(self) -> nn.Module:
        """Return a new module whose output inside a model is the rows ``[I, F]``."""
        return FixedRows(torch.from_numpy(self.values))


class Features(Mapping[str, Modality]):
    """``{modality: Modality}``; all matrices have one row per item.

    Raises:
        DataError: a matrix has the wrong number of rows or a value that is not finite.
    """

    def __init__(self, modalities: Mapping[str, Modality], num_items: int) -> None:
        for name, modality in modalities.items():
            rows = {len(modality.values), len(modality.present)}
            if rows != {num_items}:
                raise DataError(
                    f"Features {name!r} have {len(modality.values)} rows of values and "
                    f"{len(modality.present)} of mask, but the data set has {num_items} items. "
                    f"Give one row per item, in the order of the item ids."
                )
            if modality.values.dtype != np.float32:
                raise DataError(
                    f"Features {name!r} are {modality.values.dtype}, but rows are float32. Convert "
                    f"them with values.astype(np.float32)."
                )
            _require_finite(name, modality.values)
        self._modalities = dict(modalities)
        self.num_items = num_items

    def __getitem__(self, name: str) -> Modality:
        return self._modalities[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modalities)

    def __len__(self) -> int:
        return len(self._modalities)

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 over all modalities by name."""
        return digest(*(f"{name}:{self[name].fingerprint}" for name in sorted(self)))


def _require_finite(name: str, values: npt.NDArray[np.float32]) -> None:
    """Refuse NaN and infinity, block by block: the matrix may be larger than memory."""
    starts = range(0, len(values), BLOCK_ROWS)
    finite = [np.isfinite(values[start : start + BLOCK_ROWS]).all(axis=1) for start in starts]
    bad = np.flatnonzero(~np.concatenate([*finite, np.ones(0, np.bool_)]))
    if len(bad):
        raise DataError(
            f"Features {name!r}: row {bad[0]} holds NaN or infinity ({len(bad)} such rows). Mark "
            f"these items as missing or repair them."
        )
