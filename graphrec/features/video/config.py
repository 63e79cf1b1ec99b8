"""Settings of video encoders."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from graphrec.features.content.paths import Pattern
from graphrec.features.image.config import ImageNetworkConfig


class VideoConfig(ImageNetworkConfig):
    """Video files and the network that looks at them."""

    video: Pattern
    """File of an item: {item} is its id, any other {name} a column of the item table; {data} at
    the start is the folder of the data set."""
    frames: PositiveInt = 8
    """Frames of each video, evenly spread over its length."""
    frame_pooling: Literal["mean", "max", "attention"] = "mean"
    """Of the rows of the frames: their mean, the largest value of each column, or attention that is
    trained with the recommender. Nothing is encoded anew for it."""
    max_pixels: PositiveInt = 10_000_000
    """Videos with larger frames count as missing; as many frames as asked for are in memory."""

    @model_validator(mode="before")
    @classmethod
    def _attention_learns(cls, table: object) -> object:
        if not isinstance(table, Mapping) or table.get("frame_pooling") != "attention":
            return table
        return (
            table
            if "fine_tune" in table
            else {"fine_tune_lr_scale": 1.0, **table, "fine_tune": "all"}
        )

    @model_validator(mode="after")
    def _attention_alone_learns(self) -> Self:
        if self.frame_pooling == "attention" and self.fine_tune != "all":
            raise ValueError(
                "frame_pooling = 'attention' is trained as a whole, over frames that stay as they "
                "are: remove fine_tune"
            )
        return self
