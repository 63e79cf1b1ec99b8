"""Item-based nearest neighbours on shrunk cosine similarity."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from graphrec.core.memory_limit import Need
from graphrec.core.ranges import SearchRange
from graphrec.models.base import Inputs, Model
from graphrec.models.config import ModelConfig

ENTRIES_PER_BLOCK = 20_000_000
"""Co-occurrences held at once; bounds memory on data sets with heavy users."""

BYTES_PER_ENTRY = 60
"""Peak memory for one of them while neighbours are chosen."""

BYTES_PER_NEIGHBOUR = 24
"""Peak memory for one that is kept: its value and item, three times while blocks are joined."""


class ItemKNNConfig(ModelConfig):
    """Settings of ItemKNN."""

    former_names: ClassVar[Mapping[str, str]] = {"knn_k": "neighbours"}

    knn_k: PositiveInt = 400
    """Similar items kept per item."""
    shrink: NonNegativeFloat = 100.0
    """Pulls similarities with little evidence to zero; 0 collapses on sparse data."""
    use_weights: bool = False
    """Compare and score by the weights of the interactions (ratings, quantities), not by ones."""


class ItemKNN(Model):
    """s(u, i) = sum of sim(i, j) over the items j of u among the nearest neighbours of i.

    sim(i, j) = co(i, j) / (|i| |j| + shrink), with co the number of common users and |i| the
    square root of the number of users of i. Equal similarities go to the lower item id.

    With ``use_weights`` and weights w, co(i, j) = sum_u w_ui w_uj, |i| is the square root of
    sum_u w_ui^2, and sim(i, j) is multiplied by w_uj in the sum for user u.

    Source: sarwar2001itemknn, for binary interactions; the idea of shrinkage bell2007improved.

    Deviations: scores are sums and not divided by the sum of the similarities, which would not tell
    items apart in a ranking of binary interactions. ``shrink`` is added to the denominator, where
    the second paper multiplies by co / (co + shrink). No item is similar to itself.
    """

    family = "neighbourhood"
    reference = "sarwar2001itemknn"
    Config = ItemKNNConfig
    search = {
        "model.knn_k": SearchRange(low=10, high=1000, log=True),
        "model.shrink": SearchRange(low=0.0, high=500.0),
    }
    closed_form = True

    def __init__(self, config: ItemKNNConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        train = inputs.train
        self.train_matrix = train.weighted_matrix if config.use_weights else train.matrix
        self.similarity = sp.csr_array((self.num_items, self.num_items), dtype=np.float32)

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """The co-occurrences of one block, and the neighbours that are kept."""
        assert isinstance(config, ItemKNNConfig)
        work = int(_work(inputs.train.matrix).sum())
        entries = min(work, ENTRIES_PER_BLOCK + inputs.train.num_items)
        kept = min(work, config.knn_k * inputs.train.num_items)
        yield Need(
            f"itemknn with {config.knn_k} neighbours of {inputs.train.num_items:,} items",
            BYTES_PER_ENTRY * entries + BYTES_PER_NEIGHBOUR * kept,
            "Lower model.knn_k, or keep fewer items with data.clean.",
        )

    def fit_exact(self) -> None:
        """Find the neighbours of every item, in blocks of items."""
        by_item = self.train_matrix.T.tocsr()
        norms = np.sqrt(by_item.power(2).sum(axis=1, dtype=np.float64))
        block_of_item = (np.cumsum(_work(self.train_matrix)) // ENTRIES_PER_BLOCK).astype(np.int64)
        starts = np.flatnonzero(np.diff(block_of_item, prepend=-1))
        bounds = [*starts.tolist(), self.num_items]
        blocks = [
            self._nearest((by_item[start:end] @ self.train_matrix).tocoo(), start, norms)
            for start, end in itertools.pairwise(bounds)
        ]
        # Row i of the stack holds the neighbours of i; a user's score for i sums over them.
        self.similarity = sp.vstack(blocks, format="csr").T.tocsr()

    def _nearest(
        self, common: sp.coo_array, start: int, norms: npt.NDArray[np.float64]
    ) -> sp.csr_array:
        rows, items = common.coords
        other = items != rows + start
        rows, items, counts = rows[other], items[other], common.data[other]
        values = counts / (norms[rows + start] * norms[items] + self.config.shrink)
        order = np.lexsort((items, -values, rows))
        rows, items, values = rows[order], items[order], values[order]
        first = np.searchsorted(rows, np.arange(common.shape[0]))
        kept = np.arange(len(rows)) - first[rows] < self.config.knn_k
        entries = (values[kept].astype(np.float32), (rows[kept], items[kept]))
        return sp.csr_array(entries, shape=common.shape)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Sparse product of the users' histories with the similarities."""

        def scores(users: Tensor) -> Tensor:
            histories = self.train_matrix[users.cpu().numpy()]
            return torch.from_numpy((histories @ self.similarity).toarray()).to(users.device)

        return scores


def _work(train: sp.csr_array) -> npt.NDArray[np.int64]:
    """Upper bound of the co-occurrences of each item: the items of all its users, ``[I]``."""
    lengths = np.diff(train.indptr).astype(np.int64)
    return np.bincount(train.indices, np.repeat(lengths, lengths), minlength=train.shape[1]).astype(
        np.int64
    )
