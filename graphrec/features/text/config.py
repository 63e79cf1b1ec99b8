"""Define the settings of text encoders."""

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from graphrec.features.columns import Columns
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.paths import Pattern


class TextConfig(PretrainedConfig):
    """Settings of text columns or files and of the language model that reads them."""

    text: Columns | None = None
    """Column or columns of the item table with text (or lists of words), joined in this order."""
    text_files: Pattern | None = None
    """Text file of an item, instead of columns: {item} is its id, any other {name} a column of the
    item table; {data} at the start is the folder of the data set."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """Mean of the token vectors, the first one (BERT-like), or the last one (GPT-like)."""
    layer: int = -1
    """Hidden layer of the vectors, 0 (the embeddings) to L; -1 is the last."""
    max_length: PositiveInt | None = None
    """Number of tokens per chunk; by default as many as the model can read."""

    @model_validator(mode="after")
    def _prefix_of_text(self) -> Self:
        if (self.text is None) == (self.text_files is None):
            raise ValueError("give either text or text_files")
        if self.encoder.startswith("torchvision:"):
            raise ValueError("torchvision has no text encoders; use hf:, local: or package:")
        if self.revision is not None and not self.encoder.startswith("hf:"):
            raise ValueError("revision is for hf: encoders")
        return self
