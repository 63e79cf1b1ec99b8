"""One space for all modalities, learned from what the modalities of an item have in common."""

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.core.precision import single
from graphrec.core.ranges import SearchRange
from graphrec.data import Modality
from graphrec.models.base import Batch, Inputs, VectorModel, rows
from graphrec.models.config import ModelConfig
from graphrec.nn import losses
from graphrec.nn.alignment.contrastive import infonce
from graphrec.nn.alignment.discrepancy import mmd
from graphrec.nn.masking import equal_shares, weighted_sum, without_missing
from graphrec.nn.projection import Projection

logger = logging.getLogger(__name__)

MATRICES = {"infonce": 5, "mmd": 10}
"""Matrices of similarities that one pair of modalities holds at the peak of a step."""


class JointEmbeddingConfig(ModelConfig):
    """Settings of the joint embedding."""

    dim: PositiveInt = 64
    """Width D of the shared space."""
    align: Literal["infonce", "mmd"] = "infonce"
    """The modalities agree by contrast of items (infonce) or as distributions (mmd)."""
    align_temperature: PositiveFloat = 0.2
    """Cosines are divided by it in infonce."""
    align_items: Annotated[int, Field(ge=2)] = 1024
    """Items that are aligned in one step, drawn from all; the cost is quadratic."""
    rank_weight: NonNegativeFloat = 0.0
    """Weight of a ranking loss beside the alignment; with 0 items learn nothing from users."""
    loss: Literal["bpr", "softmax", "bce"] = "bpr"
    """Ranking loss."""
    temperature: PositiveFloat = 0.2
    """Scores, which are cosines, are divided by it in the ranking loss."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.require_effect()
        return self

    def inactive_settings(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        if self.align != "infonce":
            yield "align_temperature", f"on align = {self.align!r}"
        if not self.rank_weight:
            for name in ("loss", "temperature"):
                yield name, "while rank_weight = 0"


class JointEmbedding(VectorModel):
    """x_i = unit(mean over the present m of z_im) with z_im = unit(W_m f_im + b_m).

    unit(v) = v / |v|. A user is the profile of what it has in train, x_u = unit(sum of its x_i),
    and the score is the cosine x_u . x_i.

    The modalities are brought to agree on ``align_items`` items that each step draws from all,
    interactions or not, by ``infonce(z)`` among items with two or more modalities, or ``mmd(z)``.
    With ``rank_weight`` > 0 a ranking loss of the batch's cosines is added; there the profile of
    user u leaves out the positive item, which it would else be asked to find in itself.

    An item with one modality lies where that one puts it. An item with none, or with rows of
    zeros only, has no direction: its vector is 0, and so is each of its scores, and that of a user
    who has only such items.

    The mmd compares no item with itself. Alone it may draw all items together, or lay one kind of
    items in one modality on another kind in the other: use it with ``rank_weight``.

    Source: radford2021clip, from which the projections, unit vectors and the contrast are;
    gretton2012mmd.

    Deviations: the encoders are fixed, projections have a bias, any number of modalities takes
    part, the temperature is a setting and not learned.
    """

    family = "multimodal"
    reference = "radford2021clip"
    Config = JointEmbeddingConfig
    search = {
        "training.lr": SearchRange(low=1e-4, high=1e-2, log=True),
        "model.align_temperature": SearchRange(
            low=0.02, high=1.0, log=True, when={"model.align": ("infonce",)}
        ),
    }
    uses_modalities = True
    scores_cold_items = True
    present: Tensor
    pool: Tensor
    histories: Tensor
    starts: Tensor

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """The similarities of the aligned items, kept for the backward pass."""
        assert isinstance(config, JointEmbeddingConfig)
        aligned = min(config.align_items, inputs.train.num_items)
        modalities = max(2, len(inputs.features or {}))
        points = 2 * aligned if config.align == "mmd" else aligned
        pairs = modalities * (modalities - 1) // 2
        yield Need(
            f"joint_embedding with {config.align} of {aligned:,} items in {modalities} modalities",
            4 * MATRICES[config.align] * pairs * points**2,
            "Lower model.align_items; the cost is quadratic.",
        )

    def __init__(self, config: JointEmbeddingConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        features: Mapping[str, Modality] = inputs.features or {}
        _require_values(features)
        self.names = tuple(sorted(features))
        self.contents = nn.ModuleList(features[name].rows() for name in self.names)
        self.projections = nn.ModuleList(
            Projection(features[name].values.shape[1], config.dim, 0.0, inputs.rng)
            for name in self.names
        )
        masks = [features[name].present & features[name].values.any(axis=1) for name in self.names]
        present = np.stack(masks, axis=1)
        pool = np.flatnonzero(present.sum(axis=1) >= (2 if config.align == "infonce" else 1))
        if len(pool) < 2:
            logger.warning(
                "%d items have modalities that could agree: nothing is learned", len(pool)
            )
        train = inputs.train.matrix
        for name, array in (
            ("present", present),
            ("pool", pool),
            ("histories", train.indices.astype(np.int64)),
            ("starts", train.indptr.astype(np.int64)),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def tokens(self, items: Tensor | None = None) -> Tensor:
        """The z_im of some items, by default all, ``[n, M, D]``; 0 where a modality is missing."""
        contents = [content() for content in self.contents]
        present = self.present
        if items is not None:
            contents, present = [content[items] for content in contents], present[items]
        projected = [
            projection(content)
            for projection, content in zip(self.projections, contents, strict=True)
        ]
        return without_missing(_unit(single(torch.stack(projected, dim=1))), present)

    def _items(self) -> Tensor:
        tokens = self.tokens()
        return _unit(weighted_sum(equal_shares(self.present, tokens.dtype), tokens))

    def _histories(self, items: Tensor) -> Tensor:
        """Sum over the training items of each user, ``[I, D]`` to ``[U, D]``."""
        return functional.embedding_bag(
            self.histories, items, self.starts, mode="sum", include_last_offset=True
        )

    def embed(self) -> tuple[Tensor, Tensor]:
        """Profiles of the users, and the items."""
        items = self._items()
        return _unit(self._histories(items)), items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The alignment of some items, and ``rank_weight`` times the ranking loss."""
        with torch.autocast(self.present.device.type, enabled=False):
            terms: dict[str, Tensor] = {self.config.align: self._alignment()}
            if self.config.rank_weight:
                terms[self.config.loss] = self.config.rank_weight * self._ranking(batch)
            return terms

    def _alignment(self) -> Tensor:
        chosen = self.pool
        if len(chosen) > self.config.align_items:
            order = torch.randperm(len(chosen), device=chosen.device)
            chosen = chosen[order[: self.config.align_items]]
        tokens, present = self.tokens(chosen), self.present[chosen]
        if self.config.align == "mmd":
            return mmd(tokens, present)
        return infonce(tokens, present, self.config.align_temperature)

    def _ranking(self, batch: Batch) -> Tensor:
        items = self._items()
        known = self.present.any(dim=1, keepdim=True).to(items.dtype)
        others = rows(self._histories(items), batch.users) - rows(items, batch.pos)
        left = rows(self._histories(known), batch.users) - rows(known, batch.pos)
        # The gradient of a unit vector near 0 is 1e12 times too large, in parts that cancel, and
        # what other users teach the same item would be rounded away beside them.
        profiles = _unit(others.masked_fill(left < 0.5, 0.0))
        scores = torch.bmm(rows(items, batch.items), profiles.unsqueeze(2)).squeeze(2)
        ranking = losses.LOSSES[self.config.loss]
        return ranking(scores[:, 0], scores[:, 1:], self.config.temperature)


def _unit(vectors: Tensor) -> Tensor:
    """Length 1 along the last dimension; 0 stays 0."""
    return functional.normalize(vectors, dim=-1)


def _require_values(features: Mapping[str, Modality]) -> None:
    """Refuse what cannot be projected, and a single modality, which has none to agree with."""
    for name, modality in features.items():
        if not modality.values.shape[1]:
            raise ConfigError(
                f"[features.{name}] holds neighbours, which joint_embedding cannot project. Set "
                f"encoder = 'spectral', which makes values of them, or remove the table."
            )
    if len(features) < 2:
        raise ConfigError(
            f"joint_embedding brings modalities together and needs two or more, but there are "
            f"{len(features)}. Add a [features.NAME] table or choose another model."
        )
