"""Define the table ``[missing]``."""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from graphrec.core.config import Config
from graphrec.core.names import nearest

NETWORKS = ("gan", "vae")
FROM_OTHERS = ("regression", *NETWORKS)
"""Strategies that read the other modalities of an item."""


class MissingConfig(Config):
    """Settings of missing modalities: which items lose one on purpose, and how gaps are filled.

    By default nothing is removed and nothing filled: models mask a modality that an item lacks.
    """

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the items with a modality that lose it. With mechanism = 'modality', share of all
    items that lack it afterwards. Items that lose it at one rate lose it at all higher rates."""
    mechanism: Literal["random", "popularity", "modality"] = "random"
    """Rule for the items that lose a modality: at random, drawn for each modality; those with the
    fewest training interactions; or at random, for the one modality that is named."""
    modalities: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the ``[features.NAME]`` that are removed and filled; by default all."""
    seed: NonNegativeInt = 0
    """Seed of the removal and of gan and vae; kept apart from ``run.seed`` so that seeds share
    one removal."""
    strategy: Literal["mask", "mean", "neighbours", "token", "regression", "gan", "vae"] = "mask"
    """Replacement of a modality that an item lacks: none; the mean; the mean over items with common
    users; a learned row; or a prediction from its other modalities, by ridge regression or a
    generative network."""
    hidden: PositiveInt = 64
    """Width of the hidden layers of gan and vae."""
    steps: PositiveInt = 500
    """Number of training steps of gan and vae."""

    @property
    def active(self) -> bool:
        """Return whether anything is removed or filled."""
        return self.rate > 0 or self.strategy != "mask"

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.require_effect()
        if self.mechanism == "modality" and len(self.modalities or ()) != 1:
            raise ValueError("mechanism = 'modality' needs modalities = [the one that is removed]")
        return self

    def inactive_settings(self) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
        used = {
            "mechanism": self.rate > 0,
            "modalities": self.active,
            "seed": self.rate > 0 or self.strategy in NETWORKS,
            "hidden": self.strategy in NETWORKS,
            "steps": self.strategy in NETWORKS,
        }
        reason = f"while rate = {self.rate} and strategy = {self.strategy!r}"
        yield from ((name, reason) for name, has_effect in used.items() if not has_effect)

    def require_features(self, names: Collection[str]) -> None:
        """Check the table against the names of the ``[features.NAME]`` beside it.

        Raises:
            ValueError: there are none, a name is unknown, or there is no second modality to learn
                from.
        """
        if not self.active:
            return
        if not names:
            raise ValueError(
                "[missing] acts on the features of items, and there is no [features.NAME]. Add "
                "one, for a model that uses modalities, or remove [missing]"
            )
        for name in self.modalities or ():
            if name not in names:
                raise ValueError(
                    f"missing.modalities names {name!r}, and there is no [features.{name}]."
                    f"{nearest(name, names)} Known: {', '.join(names)}"
                )
        if self.strategy in FROM_OTHERS and len(names) < 2:
            raise ValueError(
                f"missing.strategy = {self.strategy!r} fills a modality from another one, and "
                f"there is one. Add a [features.NAME] or use mean, neighbours or token"
            )
