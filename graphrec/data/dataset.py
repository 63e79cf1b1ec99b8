"""Dataset (clean, filtered, fingerprinted) and Split (train, valid and a sealed test part)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.backends import import_dgl
from graphrec.core.digest import digest
from graphrec.data.interactions import PARTS, Interactions
from graphrec.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import dgl
    from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class Step:
    """One step of cleaning: what it did and how many rows it kept."""

    name: str
    rows_in: int
    rows_out: int
    note: str = ""


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
        vocabularies: of users and items, if they extend those of an earlier data set.
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
    vocabularies: tuple[Vocabulary, Vocabulary] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of ids, interactions, times, weights and the given split."""
        data = self.interactions
        ids = ("\n".join(self.user_ids.to_list()), "\n".join(self.item_ids.to_list()))
        arrays = (data.users, data.items, data.times, data.weights, self.parts)
        return digest(*ids, *arrays)

    @property
    def users(self) -> Vocabulary:
        """The external ids of the users; data that come later extend it."""
        return self.vocabularies[0] if self.vocabularies else Vocabulary(self.user_ids)

    @property
    def items(self) -> Vocabulary:
        """The external ids of the items; data that come later extend it."""
        return self.vocabularies[1] if self.vocabularies else Vocabulary(self.item_ids)

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
