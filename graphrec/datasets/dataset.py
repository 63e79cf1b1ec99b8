"""Dataset (clean, filtered, fingerprinted) and Split (train, valid and a sealed test part)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.datasets.interactions import Interactions
from graphrec.errors import DataError

if TYPE_CHECKING:
    import dgl
    from torch_geometric.data import HeteroData

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Step:
    """One step of cleaning: what it did and how many rows it kept."""

    name: str
    rows_in: int
    rows_out: int
    note: str = ""


def digest(*values: "str | npt.NDArray[np.generic] | None") -> str:
    """Return the sha256 (hex) of strings and arrays, their types and shapes included."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            sha.update(f"{value.dtype.str}{value.shape}".encode())
            sha.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        else:
            sha.update(repr(value).encode())
        sha.update(b"\x00")
    return sha.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions over internal ids, with the external ids and the item table beside them.

    Attributes:
        user_ids, item_ids: external id of each internal id, as text, ``[U]`` and ``[I]``.
        item_table: one row per item in id order (content columns), or None.
        item_title: the column of the item table that names an item to people, or None.
        parts: which part (0 train, 1 valid, 2 test) each interaction was given, ``[E]`` int8,
            or None where the source prescribes no split.
        steps: what cleaning did, in order.
        folder: where the files lie.
    """

    name: str
    interactions: Interactions
    user_ids: pl.Series
    item_ids: pl.Series
    item_table: pl.DataFrame | None = None
    item_title: str | None = None
    parts: npt.NDArray[np.int8] | None = None
    steps: tuple[Step, ...] = ()
    folder: Path = Path()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of ids, interactions, times, weights and the given split."""
        data = self.interactions
        ids = ("\n".join(self.user_ids.to_list()), "\n".join(self.item_ids.to_list()))
        arrays = (data.users, data.items, data.times, data.weights, self.parts)
        return digest(*ids, *arrays)

    @cached_property
    def item_names(self) -> pl.Series:
        """What to call each item: its title where there is one, else its id."""
        if self.item_table is None or self.item_title is None:
            return self.item_ids
        titles = self.item_table[self.item_title].cast(pl.String)
        return pl.select(pl.coalesce(titles, self.item_ids)).to_series()

    def statistics(self) -> dict[str, int | float]:
        """Counts, density (E / (U I)) and mean interactions per user and item."""
        data = self.interactions
        users, items, count = data.num_users, data.num_items, len(data)
        result: dict[str, int | float] = {"users": users, "items": items, "interactions": count}
        if self.parts is not None:
            for code, part in enumerate(PARTS):
                result[part] = int((self.parts == code).sum())
        result["density"] = count / (users * items)
        result["per_user"] = count / users
        result["per_item"] = count / items
        return result

    def to_hetero_data(self) -> "HeteroData":
        """Return a PyG graph with node types user and item and both edge directions."""
        import torch
        from torch_geometric.data import HeteroData

        data = HeteroData()
        data["user"].num_nodes = self.interactions.num_users
        data["item"].num_nodes = self.interactions.num_items
        pairs = np.stack([self.interactions.users, self.interactions.items]).astype(np.int64)
        edges = torch.from_numpy(pairs)
        data["user", "interacts", "item"].edge_index = edges
        data["item", "interacted_by", "user"].edge_index = edges.flip(0)
        return data

    def to_dgl(self) -> "dgl.DGLGraph":
        """Return a DGL heterograph with both edge directions.

        Raises:
            ConfigError: DGL is not installed.
        """
        from graphrec.graphs.backends import import_dgl

        users, items = self.interactions.users, self.interactions.items
        return import_dgl().heterograph(
            {
                ("user", "interacts", "item"): (users, items),
                ("item", "interacted_by", "user"): (items, users),
            },
            num_nodes_dict={
                "user": self.interactions.num_users,
                "item": self.interactions.num_items,
            },
        )


class SealedTest:
    """The test part, closed until ``open`` is called; every opening is recorded.

    Training, early stopping and tuning are handed train and valid only. The one way to the
    test interactions is ``open``, which names its reason and leaves a trace in the result.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions
        self.openings: list[str] = []

    def __len__(self) -> int:
        return len(self._interactions)

    @property
    def num_users(self) -> int:
        """Number of users with a test item; reveals nothing of who they are."""
        return int((self._interactions.user_degrees > 0).sum())

    @property
    def fingerprint(self) -> str:
        """sha256 of the sealed pairs; reveals nothing of them."""
        return digest(self._interactions.users, self._interactions.items)

    def open(self, reason: str, on_open: Callable[[str], None] | None = None) -> Interactions:
        """Return the test interactions and record why they were opened."""
        self.openings.append(reason)
        if on_open is not None:
            on_open(reason)
        return self._interactions


class WithheldTest(SealedTest):
    """Stands for a test part that is not there: tuning is handed this one."""

    def __init__(self, sealed: SealedTest) -> None:
        nothing = np.empty(0, dtype=np.int32)
        super().__init__(Interactions(nothing, nothing, 0, 0))
        self._fingerprint, self._num_users = sealed.fingerprint, sealed.num_users

    @property
    def num_users(self) -> int:
        """That of the part which is withheld."""
        return self._num_users

    @property
    def fingerprint(self) -> str:
        """That of the part which is withheld."""
        return self._fingerprint

    def open(self, reason: str, on_open: Callable[[str], None] | None = None) -> Interactions:
        """Refuse."""
        raise PermissionError(f"The test part is withheld; it was asked for: {reason}")


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts over one vocabulary; the test part is sealed."""

    train: Interactions
    valid: Interactions
    test: SealedTest
    rule: str
    steps: tuple[Step, ...] = field(default=())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the three parts."""
        pairs = (self.train.users, self.train.items, self.valid.users, self.valid.items)
        return digest(*pairs, self.test.fingerprint)

    def without_test(self) -> "Split":
        """The same split, of the same fingerprint, whose test part is not there."""
        return Split(self.train, self.valid, WithheldTest(self.test), self.rule, self.steps)


def require_disjoint(dataset: Dataset, parts: npt.NDArray[np.int8]) -> None:
    """Raise DataError when one user-item pair stands in two parts of a split."""
    data = dataset.interactions
    keys = data.users.astype(np.int64) * data.num_items + data.items
    order = np.lexsort((parts, keys))
    keys, sorted_parts = keys[order], parts[order]
    clash = np.flatnonzero((keys[1:] == keys[:-1]) & (sorted_parts[1:] != sorted_parts[:-1]))
    if len(clash):
        row = clash[0]
        user, item = divmod(int(keys[row]), data.num_items)
        raise DataError(
            f"Data set {dataset.name!r}: the pair (user {dataset.user_ids[user]!r}, item "
            f"{dataset.item_ids[item]!r}) stands in both the {PARTS[sorted_parts[row]]} and the "
            f"{PARTS[sorted_parts[row + 1]]} part; {len(clash)} pairs do. Remove them from one "
            f"part: a test item that was trained on would be counted as a success."
        )
