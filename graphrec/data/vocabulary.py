"""External ids <-> internal ids 0..n-1. Ids are only ever appended: none is numbered anew."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from graphrec.core.digest import digest
from graphrec.core.errors import DataError
from graphrec.data.ids import require_one_form
from graphrec.data.interactions import IntArray

INTEGER = r"^(0|-?[1-9]\d{0,17})$"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The external ids of users or items; the internal id of each is its place.

    Attributes:
        ids: external ids as text, ``[n]``, each once.
        parent: fingerprint of the vocabulary that this one extends; empty if it extends none.
        inherited: how many of the ids it has from there.
    """

    ids: pl.Series
    parent: str = ""
    inherited: int = 0

    @classmethod
    def of(cls, ids: pl.Series, declared: int | None, kind: str, source: str) -> Self:
        """Give the distinct ids their numbers: in numeric order if all are integers, else as text.

        Args:
            ids: external ids as text, without nulls.
            declared: ``num_users`` or ``num_items``; the ids are then exactly 0..declared-1.
            kind: ``"user"`` or ``"item"``, for the message.
            source: the file or data set, for the message.

        Raises:
            DataError: ids are declared to be 0..n-1 and one is not, or one number is written in
                two ways.
        """
        distinct = ids.unique()
        require_one_form(distinct, kind, source)
        if declared is None:
            return cls(_in_order(distinct))
        known = pl.Series(np.arange(declared)).cast(pl.String)
        unknown = distinct.filter(~distinct.is_in(known.implode())).sort()
        if len(unknown):
            raise DataError(
                f"{source}: {kind} id {unknown[0]!r} is not one of 0..{declared - 1}, which "
                f"data.num_{kind}s = {declared} declares ({len(unknown)} such ids). Correct or "
                f"remove data.num_{kind}s."
            )
        return cls(known)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the ids, or of the parent's fingerprint and the ids that came after it."""
        added = "\n".join(self.ids[self.inherited :].to_list())
        return digest(self.parent, added) if self.parent else digest(added)

    def extended(self, ids: pl.Series, kind: str, source: str) -> Self:
        """Append the ids that are new, in the order of ``of``; those that are known stay.

        Raises:
            DataError: one number is written in two ways.
        """
        distinct = ids.unique()
        require_one_form(pl.concat([self.ids, distinct]).unique(), kind, source)
        new = _in_order(distinct.filter(~distinct.is_in(self.ids.implode())))
        if not len(new):
            return self
        grown = pl.concat([self.ids, new.rename(self.ids.name)])
        return type(self)(grown, self.fingerprint, len(self.ids))

    def require_extended_by(self, other: "Vocabulary", kind: str, source: str) -> None:
        """Refuse another vocabulary in which an id of this one is gone or numbered anew.

        Raises:
            DataError: there is such an id; it is named.
        """
        same = other.ids[: len(self)].equals(self.ids, check_names=False)
        if same:
            return
        pairs = enumerate(zip(self.ids, other.ids, strict=False))
        place = next((row for row, (old, new) in pairs if old != new), len(other))
        raise DataError(
            f"{source}: {kind} id {self.ids[place]!r} had the number {place} before and has not "
            f"now. Ids are only ever appended: keep it, and add new ids at the end."
        )

    def numbers_of(self, ids: pl.Series) -> IntArray:
        """Return the internal id of every external id; all of them are known."""
        codes = np.arange(len(self), dtype=np.int32)
        result: IntArray = ids.replace_strict(self.ids, codes, return_dtype=pl.Int32).to_numpy()
        return result


def _in_order(distinct: pl.Series) -> pl.Series:
    """Sort ids by number if all are integers, else as text."""
    integers = len(distinct) > 0 and bool(distinct.str.contains(INTEGER).all())
    return distinct.cast(pl.Int64).sort().cast(pl.String) if integers else distinct.sort()
