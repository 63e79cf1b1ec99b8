"""The one contract of a model, and the common part of those that rank by inner products.

Letters in all docstrings: U users, I items, N = U + I nodes, E pairs, B batch, D embedding,
F feature, M modalities, K cut-off, L layers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.core.precision import single
from graphrec.core.ranges import SearchRange
from graphrec.data import Features, Interactions
from graphrec.models.config import EmbeddingConfig, ModelConfig
from graphrec.nn import losses

Family: TypeAlias = Literal[
    "reference", "neighbourhood", "linear", "factorisation", "graph", "multimodal", "other"
]
"""What a model is: the heading under which tables list it."""

BatchKind: TypeAlias = Literal["pairs", "users", "sequences"]
"""What a model trains on: pairs with negatives, whole rows of users, or their items in order."""


class Batch(NamedTuple):
    """Training pairs. ``users``, ``pos``: ``[B]``; ``neg``: ``[B, n]``; all int64."""

    users: Tensor
    pos: Tensor
    neg: Tensor

    @property
    def items(self) -> Tensor:
        """Positive and negatives side by side, ``[B, 1 + n]``: one gather instead of two."""
        return torch.cat([self.pos.unsqueeze(1), self.neg], dim=1)

    def nodes(self, num_users: int) -> Tensor:
        """Graph nodes of user, positive and negatives, ``[B, 2 + n]``; items follow the users."""
        return torch.cat([self.users.unsqueeze(1), self.items + num_users], dim=1)


class UserBatch(NamedTuple):
    """Users with their whole training rows. ``users``: ``[B]`` int64; ``rows``: ``[B, I]`` float32.

    A row holds 1 for each training item of the user and 0 elsewhere.
    """

    users: Tensor
    rows: Tensor


class SequenceBatch(NamedTuple):
    """Users with their training items in order of time, the latest last.

    ``users``: ``[B]``; ``items``: ``[B, L]`` int64, filled up with -1 at the front.
    """

    users: Tensor
    items: Tensor


class ParameterGroup(NamedTuple):
    """Parameters that the optimiser treats alike.

    Attributes:
        lr_scale: their learning rate as a multiple of ``training.lr``.
        weight_decay: weight of half their squared norm in the loss, as Adam of torch adds it.
    """

    parameters: list[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Inputs:
    """All that a model is ever given: it cannot leak what it does not have."""

    train: Interactions
    """The training part only."""
    rng: torch.Generator
    """Source of all initial values."""
    features: Features | None = None
    """Item content, for models with ``uses_modalities``."""
    backend: str = "auto"
    """Kernels of message passing."""
    user_features: Features | None = None
    """Statistics of the users, one row per user, for models with ``uses_user_features``."""
    graphs: Path | None = None
    """Folder of graphs that follow from features; without one they are computed each time."""


class Model(nn.Module, ABC):
    """A recommender, made from its own ``Config`` and ``Inputs``."""

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    family: ClassVar[Family] = "other"
    """What the model is, for tables of models."""
    reference: ClassVar[str] = ""
    """Key of the paper in references.bib."""
    batches: ClassVar[BatchKind] = "pairs"
    """What ``loss`` is given: a ``Batch``, a ``UserBatch`` or a ``SequenceBatch``."""
    uses_modalities: ClassVar[bool] = False
    """Reads item features."""
    trains_encoders: ClassVar[bool] = False
    """Takes ``Modality.rows()`` and so trains encoders with ``fine_tune``."""
    uses_user_features: ClassVar[bool] = False
    """Reads user features."""
    scores_cold_items: ClassVar[bool] = False
    """Gives items without training interactions a score that means something."""
    closed_form: ClassVar[bool] = False
    """Solved by ``fit_exact``; has no loss and nothing to train."""
    search: ClassVar[Mapping[str, SearchRange]] = {}
    """What ``graphrec tune`` searches where the configuration has no [search]."""
    training_defaults: ClassVar[Mapping[str, Json]] = {}
    """Values of ``[training]`` for settings that the configuration leaves out; ``config.json``
    holds them like all others."""

    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__()
        self.num_users, self.num_items = inputs.train.num_users, inputs.train.num_items

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """Estimate the memory of each dense step, before the model is made; by default none.

        ``inputs`` lack the features where these are not encoded yet.
        """
        yield from ()

    @abstractmethod
    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Do the work all users share once; return the function users ``[B]`` -> ``[B, I]``."""

    def score(self, users: Tensor) -> Tensor:
        """Scores of all items for some users, ``[B, I]``."""
        return self.scorer()(users)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted scalar terms whose sum is minimised, by name."""
        raise TypeError(f"{type(self).__name__} is solved in closed form and has no loss")

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss: training calls the module, so that a distributed wrapper can wrap it."""
        return self.loss(batch)

    def fit_exact(self) -> None:
        """Solve a closed-form model; trained models have nothing to do here."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return all trained parameters, each in one group of the optimiser."""
        return [ParameterGroup(list(self.parameters()))]

    def begin_epoch(self, rng: torch.Generator) -> None:
        """Prepare for an epoch, for example by drawing an augmented graph."""

    def after_step(self) -> None:
        """Follow a step of the optimiser, for example with a moving average of the weights."""

    def deployable(self) -> "Model":
        """Return the model that is kept after training, without what serves training only."""
        return self

    def grow(self, num_users: int, num_items: int) -> None:
        """Make room for users and items that were appended to the vocabularies.

        What the model knows of the first ``self.num_users`` users and ``self.num_items`` items
        stays as it is. By default a model cannot grow.

        Raises:
            ConfigError: the model cannot grow, or would shrink.
        """
        self.require_growth(num_users, num_items)
        raise ConfigError(
            f"{type(self).__name__} cannot take up new users and items: it has no grow() of its "
            f"own. Train it anew on all the data."
        )

    def require_growth(self, num_users: int, num_items: int) -> None:
        """Refuse fewer users or items than the model knows.

        Raises:
            ConfigError: there are fewer.
        """
        known = {"users": self.num_users, "items": self.num_items}
        for kind, count in {"users": num_users, "items": num_items}.items():
            if count < known[kind]:
                raise ConfigError(
                    f"{type(self).__name__} knows {known[kind]} {kind} and cannot shrink to "
                    f"{count}: ids are only ever appended. Extend the vocabulary that it was "
                    f"trained with."
                )


class UserModel(Model):
    """Trains on whole rows of users, as autoencoders do."""

    batches = "users"

    @abstractmethod
    def loss(self, batch: UserBatch) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the weighted scalar terms whose sum is minimised, by name."""


class SequenceModel(Model):
    """Trains on the items of each user in order of time."""

    batches = "sequences"

    @abstractmethod
    def loss(self, batch: SequenceBatch) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the weighted scalar terms whose sum is minimised, by name."""


Vectors: TypeAlias = tuple[Tensor, Tensor]
"""Users ``[U, D]`` and items ``[I, D]``."""


class VectorModel(Model):
    """Ranks by the inner product of user and item vectors; subclasses decide how they learn."""

    @abstractmethod
    def embed(self) -> tuple[Tensor, Tensor]:
        """Return the final embeddings: users ``[U, D]`` and items ``[I, D]``."""

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the vectors whose inner products are the scores, shaped as those of ``embed``."""
        return self.embed()

    @property
    def ranks_by_products(self) -> bool:
        """Whether scores are the inner products of ``vectors()``: yes, unless a setting says no."""
        return True

    @property
    def learns_by_products(self) -> bool:
        """Whether training ranks by the inner products of ``vectors()``, whatever scores add."""
        return self.ranks_by_products

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """One ``embed()``, then a matrix product for each block of users."""
        users, items = self.vectors()
        return lambda batch: users[batch] @ items.T


class EmbeddingModel(VectorModel):
    """Learns its user and item embeddings by a ranking loss."""

    Config: ClassVar[type[ModelConfig]] = EmbeddingConfig
    config: EmbeddingConfig
    search = {
        "training.lr": SearchRange(low=1e-4, high=1e-2, log=True),
        "model.reg": SearchRange(low=1e-6, high=1.0, log=True),
        "model.temperature": SearchRange(
            low=0.05, high=1.0, log=True, when={"model.loss": ("softmax",)}
        ),
    }

    def __init__(self, config: EmbeddingConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config

    @abstractmethod
    def penalised(self, batch: Batch) -> list[losses.Chosen]:
        """Return the rows whose squared norm is the ``reg`` term."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the chosen ranking loss and ``reg * l2``."""
        return self.loss_and_vectors(batch)[0]

    def loss_and_vectors(self, batch: Batch) -> tuple[dict[str, Tensor], Vectors]:
        """Return the loss and the ``vectors()`` behind it, for terms that others add on them."""
        users, items = self.vectors()
        return self.ranking_terms(users, items, batch), (users, items)

    def ranking_terms(self, users: Tensor, items: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of vectors ``[U, D]`` and ``[I, D]``, whose products are the scores."""
        scores = pair_scores(users, items, batch.users, batch.items)
        ranking = self.ranking(scores[:, 0], scores[:, 1:], self.pair_weights(batch))
        return {self.config.loss: ranking} | self.penalty(batch)

    def ranking(self, pos: Tensor, neg: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the chosen ranking loss of scores ``[B]`` and ``[B, n]``, a scalar."""
        return losses.LOSSES[self.config.loss](pos, neg, self.config.temperature, weights)

    def pair_weights(self, batch: Batch) -> Tensor | None:
        """Weights of the pairs in the ranking loss, ``[B]``; None where all weigh the same."""
        return None

    def penalty(self, batch: Batch) -> dict[str, Tensor]:
        """``reg * l2``, or nothing."""
        if not self.config.reg:
            return {}
        return {"reg": self.config.reg * losses.l2(*self.penalised(batch))}

    def split_nodes(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Split ``[N, D]`` into users and items; its gradient is one concatenation."""
        users, items = nodes.split((self.num_users, self.num_items))
        return users, items

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the final embeddings, scaled to length 1 with ``normalize``."""
        users, items = self.embed()
        if self.config.normalize:
            return functional.normalize(users, dim=1), functional.normalize(items, dim=1)
        return users, items


def rows(table: Tensor, ids: Tensor) -> Tensor:
    """``table[ids]``, ``[..., D]``, with a gradient several times faster on CPU than indexing's."""
    return table.index_select(0, ids.flatten()).unflatten(0, ids.shape)


def pair_scores(users: Tensor, items: Tensor, who: Tensor, what: Tensor) -> Tensor:
    """Inner products of users ``who`` ``[B]`` with items ``what`` ``[B, n]``: ``[B, n]``."""
    vectors = rows(users, who)
    chosen = rows(items, what)
    return single(torch.bmm(chosen, vectors.unsqueeze(2)).squeeze(2))


def embedding_table(
    num_rows: int, config: EmbeddingConfig, rng: torch.Generator, width: int | None = None
) -> nn.Parameter:
    """Draw a trainable table ``[num_rows, width]``, by default D wide, from Normal(0, init_std)."""
    draws = torch.randn(num_rows, width or config.dim, generator=rng)
    return nn.Parameter(draws * config.init_std)
