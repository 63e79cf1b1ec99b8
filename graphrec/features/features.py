"""The Features record: aligned by item id; missing items are masked, never zero-filled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphrec.datasets.dataset import digest
from graphrec.errors import DataError


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
        """sha256 of values and mask: the key under which anything derived may be reused."""
        return digest(self.values, self.present)


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
            bad = ~np.isfinite(modality.values).all(axis=1)
            if bad.any():
                raise DataError(
                    f"Features {name!r}: row {int(np.flatnonzero(bad)[0])} holds NaN or infinity "
                    f"({int(bad.sum())} such rows). Mark these items as missing or repair them."
                )
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
        """sha256 over all modalities by name."""
        return digest(*(f"{name}:{self[name].fingerprint}" for name in sorted(self)))
