"""Text without a pretrained model: TF-IDF, compressed by a truncated SVD."""

import logging
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import BeforeValidator, Field, PositiveInt

from graphrec.config import FeatureConfig
from graphrec.errors import DataError
from graphrec.features.attributes import select_columns
from graphrec.features.features import Modality

logger = logging.getLogger(__name__)

# A TF-IDF row has length 1. Less than this left of it after the SVD is rounding error, which
# must not be scaled up to length 1: it would point anywhere.
SMALLEST_LENGTH = 1e-6

Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]


class TfidfConfig(FeatureConfig):
    """Text columns of the item table and how their words are counted."""

    encoder: str = "tfidf"
    """A name of ``ENCODERS`` or ``"package.module:Class"``."""
    columns: Columns
    """Column or columns with text (or lists of words), joined in this order."""
    dim: PositiveInt = 128
    """Columns of the result; fewer where there are fewer texts or words."""
    min_df: PositiveInt = 2
    """Words of fewer items are left out."""
    ngrams: PositiveInt = 1
    """Longest run of words counted as one term."""
    sublinear_tf: bool = False
    """Count a word that occurs n times as 1 + ln(n)."""


class TfidfEncoder:
    """The strongest ``dim`` directions of the TF-IDF matrix; rows have length 1.

    ``X = U S V'`` with ``x_it = tf_it (1 + ln((1 + n) / (1 + df_t)))``, rows scaled to length 1;
    the result is the first ``dim`` columns of ``U S``, rows scaled again. Words are runs of two
    or more letters or digits, in lower case. An item without any counted word is missing and is
    not among the n. Deterministic: the SVD has a fixed seed and fixed signs.
    """

    Config: ClassVar[type[FeatureConfig]] = TfidfConfig

    def __init__(self, config: TfidfConfig) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items; values ``[I, F]``, F at most ``dim``.

        Raises:
            DataError: a column is absent, or no word is left to count.
        """
        # scikit-learn takes a second to import, and only runs with this encoder need it.
        from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
        from sklearn.utils.extmath import randomized_svd

        config = self.config
        texts = _texts(select_columns(items, config.columns))
        counter = CountVectorizer(ngram_range=(1, config.ngrams), min_df=config.min_df)
        try:
            counts = counter.fit_transform(texts.to_list())
        except ValueError as error:  # empty vocabulary
            raise DataError(
                f"no word of {', '.join(config.columns)} is in {config.min_df} or more items "
                f"({(texts != '').sum()} of {len(item_ids)} items have text). Lower min_df, or "
                f"leave the modality out."
            ) from error
        present = np.diff(counts.indptr) > 0
        weights = TfidfTransformer(sublinear_tf=config.sublinear_tf).fit_transform(counts[present])

        dim = min(config.dim, *weights.shape)
        if dim < config.dim:
            logger.warning(
                "tfidf: %d columns instead of dim = %d, as there are %d texts and %d terms",
                *(dim, config.dim, *weights.shape),
            )
        left, strength, _ = randomized_svd(weights, dim, random_state=0)
        rows = left * strength
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        kept = lengths[:, 0] > SMALLEST_LENGTH
        if not kept.all():
            logger.warning(
                "tfidf: %d items have no word in the %d strongest directions and count as "
                "missing; raise dim",
                *(int((~kept).sum()), dim),
            )
        present[present] = kept
        values = np.zeros((len(item_ids), dim), dtype=np.float32)
        values[present] = rows[kept] / lengths[kept]
        return Modality(values, present)


def _texts(table: pl.DataFrame) -> pl.Series:
    """Return one text per item, empty where there is none."""
    texts = [
        pl.col(name).cast(pl.List(pl.String)).list.join(" ")
        if isinstance(dtype, pl.List | pl.Array)
        else pl.col(name).cast(pl.String)
        for name, dtype in table.schema.items()
    ]
    joined = pl.concat_str([text.fill_null("") for text in texts], separator=" ")
    return table.select(joined.str.strip_chars()).to_series()
