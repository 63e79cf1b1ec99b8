"""Encode text without a pretrained model: counted words, compressed by a truncated SVD."""

import logging
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import scipy.sparse as sp
from pydantic import PositiveInt

from graphrec.core.errors import DataError
from graphrec.data import Modality
from graphrec.features.columns import Columns
from graphrec.features.config import FeatureConfig
from graphrec.features.content.sources import joined_texts

logger = logging.getLogger(__name__)

# A row of weights has length 1. If the SVD leaves less than this of it, the rest is rounding error,
# which must not be scaled up to length 1: it would point in an arbitrary direction.
SMALLEST_LENGTH = 1e-6


class WordConfig(FeatureConfig):
    """Settings of text columns of the item table and of the counting of their words."""

    columns: Columns
    """Column or columns with text (or lists of words), joined in this order."""
    dim: PositiveInt = 128
    """Number of columns of the result; fewer where there are fewer texts or words."""
    min_df: PositiveInt = 2
    """Number of items below which a word is left out."""
    ngrams: PositiveInt = 1
    """Length of the longest run of words that is counted as one term."""


class TfidfConfig(WordConfig):
    """Settings of counted words, where rare words have a larger weight."""

    encoder: str = "tfidf"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    sublinear_tf: bool = False
    """Count a word that occurs n times as 1 + ln(n)."""


class BowConfig(WordConfig):
    """Settings of counted words, where all words have the same weight."""

    encoder: str = "bow"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    counts: Literal["raw", "log", "binary"] = "raw"
    """Count of a word that occurs n times: n, 1 + ln(n), or 1."""


class WordEncoder(ABC):
    """Base of encoders of words: the strongest directions of a matrix of weighted words.

    ``X = U S V'`` with the weights of ``weigh``, rows scaled to length 1; the result is the first
    ``dim`` columns of ``U S``, rows scaled again. Words are runs of two or more letters or
    digits, in lower case. An item without any counted word is missing and is not among the n.
    The result is deterministic: the SVD has a fixed seed and fixed signs.
    """

    Config: ClassVar[type[FeatureConfig]]

    def __init__(self, config: WordConfig) -> None:
        self._shared = config

    @abstractmethod
    def weigh(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        """Turn the counts ``[n, T]`` of T terms into weights; rows of length 1."""

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items; values ``[I, F]``, F at most ``dim``.

        Raises:
            DataError: a column is absent, or no word is left to count.
        """
        # scikit-learn takes a second to import, and only runs with this encoder need it.
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.utils.extmath import randomized_svd

        config = self._shared
        texts = joined_texts(items, config.columns)
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
        weights = self.weigh(counts[present])

        dim = min(config.dim, *weights.shape)
        if dim < config.dim:
            logger.warning(
                "%s: %d columns instead of dim = %d, as there are %d texts and %d terms",
                *(config.encoder, dim, config.dim, *weights.shape),
            )
        left, strength, _ = randomized_svd(weights, dim, random_state=0)
        rows = left * strength
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        kept = lengths[:, 0] > SMALLEST_LENGTH
        if not kept.all():
            logger.warning(
                "%s: %d items have no word in the %d strongest directions and count as "
                "missing; raise dim",
                *(config.encoder, int((~kept).sum()), dim),
            )
        present[present] = kept
        values = np.zeros((len(item_ids), dim), dtype=np.float32)
        values[present] = rows[kept] / lengths[kept]
        return Modality(values, present)


class TfidfEncoder(WordEncoder):
    """TF-IDF of words, compressed: ``x_it = tf_it (1 + ln((1 + n) / (1 + df_t)))``."""

    Config: ClassVar[type[FeatureConfig]] = TfidfConfig

    def __init__(self, config: TfidfConfig) -> None:
        super().__init__(config)
        self.config = config

    def weigh(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        """Multiply counts by the inverse document frequency, ``[n, T]``."""
        from sklearn.feature_extraction.text import TfidfTransformer

        return TfidfTransformer(sublinear_tf=self.config.sublinear_tf).fit_transform(counts)


class BowEncoder(WordEncoder):
    """Bag of words, compressed: ``x_it`` is the number of times that item i has term t."""

    Config: ClassVar[type[FeatureConfig]] = BowConfig

    def __init__(self, config: BowConfig) -> None:
        super().__init__(config)
        self.config = config

    def weigh(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        """Return counts, their logarithms or ones, ``[n, T]``."""
        from sklearn.preprocessing import normalize

        weights = counts.astype(np.float64)
        if self.config.counts == "log":
            weights.data = 1 + np.log(weights.data)
        elif self.config.counts == "binary":
            weights.data[:] = 1.0
        return normalize(weights)
