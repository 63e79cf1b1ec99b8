"""Encode text as the mean of its word vectors: trained on the item texts, or read from a file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from pydantic import NonNegativeInt, PositiveInt, model_validator

from graphrec.core.config import AbsolutePath
from graphrec.core.errors import DataError
from graphrec.core.progress import Step, step
from graphrec.data import Modality
from graphrec.features.columns import Columns
from graphrec.features.config import FeatureConfig
from graphrec.features.content.sources import joined_texts
from graphrec.features.content.weights import missing_extra

logger = logging.getLogger(__name__)

WORD = r"\b\w\w+\b"
"""Pattern of two or more letters or digits, as in the other encoders of words."""

LONGEST_TEXT = 10_000
"""Number of words that gensim reads of one text; longer texts are passed on in pieces."""

LONGEST_LINE = 2**20
"""Bytes read to distinguish text from binary, which need not have lines."""

TRAINING = ("algorithm", "dim", "window", "epochs", "min_count", "seed")


class Word2VecConfig(FeatureConfig):
    """Settings of text columns of the item table, and of the vectors of their words."""

    encoder: str = "word2vec"
    """Name of ``ENCODERS`` or ``"package.module:Class"``."""
    columns: Columns
    """Column or columns with text (or lists of words), joined in this order."""
    weighting: Literal["mean", "idf"] = "mean"
    """Weights of the words of an item: all equal, or larger for words that few items have."""
    vectors: AbsolutePath | None = None
    """File with vectors of lower-case words, in the text or binary format of word2vec, which may be
    .gz; by default vectors are trained on the texts of the items."""
    algorithm: Literal["skipgram", "cbow"] = "skipgram"
    """Training task: a word predicts its neighbours, or they predict it."""
    dim: PositiveInt = 128
    """Width of trained vectors."""
    window: PositiveInt = 5
    """Distance of the farthest neighbour, in words."""
    epochs: PositiveInt = 10
    """Number of passes over the texts."""
    min_count: PositiveInt = 2
    """Number of occurrences below which a word has no vector."""
    seed: NonNegativeInt = 0
    """Seed of training."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        fields = type(self).model_fields
        changed = [name for name in TRAINING if getattr(self, name) != fields[name].default]
        if self.vectors is not None and changed:
            raise ValueError(
                f"vectors are read, not trained: {changed[0]} has no effect; remove it"
            )
        return self


class WordVectors(NamedTuple):
    """Known words and their vectors ``[V, F]``."""

    words: list[str]
    matrix: npt.NDArray[np.float32]


class Word2VecEncoder:
    """Encoder of an item as the weighted mean of the vectors of its known words, with repetitions.

    ``x_i = sum_t c_it w_t v_t / sum_t c_it w_t`` with the count c_it of word t; w_t is 1, or
    ``1 + ln((1 + n) / (1 + df_t))`` over the n items with a known word. An item without a known
    word is missing. Training: skip-gram or CBOW, five negative samples per pair, words with more
    than a thousandth of all occurrences thinned out; one thread, so that runs are bit-identical.

    Source: mikolov2013word2vec, by gensim.
    """

    Config: ClassVar[type[FeatureConfig]] = Word2VecConfig

    def __init__(self, config: Word2VecConfig) -> None:
        self.config = config

    def encode(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Modality:
        """Encode all items; values ``[I, F]``.

        Raises:
            ConfigError: gensim is not installed.
            DataError: a column is absent, the file of vectors cannot be read or holds a vector
                that is not finite, or no word has a vector.
        """
        texts = joined_texts(items, self.config.columns).str.to_lowercase().str.extract_all(WORD)
        table = pl.DataFrame({"row": np.arange(len(texts)), "word": texts}).explode("word")
        table = table.drop_nulls()
        known = self._known(texts, table["word"])
        codes = pl.DataFrame({"word": known.words}, schema={"word": pl.String})
        table = table.join(codes.with_row_index("code"), on="word")
        counts = sp.csr_array(
            (np.ones(len(table)), (table["row"].to_numpy(), table["code"].to_numpy())),
            shape=(len(texts), len(known.words)),
        )
        present = np.diff(counts.indptr) > 0
        if self.config.weighting == "idf":
            found_in = np.bincount(counts.indices, minlength=len(known.words))
            counts.data *= (1 + np.log((1 + present.sum()) / (1 + found_in)))[counts.indices]
        values = np.zeros((len(texts), known.matrix.shape[1]), dtype=np.float32)
        totals = counts.sum(axis=1)[present, None]
        values[present] = counts[np.flatnonzero(present)] @ known.matrix / totals
        return Modality(values, present)

    def _known(self, texts: pl.Series, words: pl.Series) -> WordVectors:
        """Return the vectors of words that occur, in the order of the alphabet."""
        config = self.config
        counts = words.value_counts().sort("word")
        least = config.min_count if config.vectors is None else 1
        counts = counts.filter(pl.col("count") >= least)
        if counts.is_empty():
            lower = "Lower min_count, or leave" if least > 1 else "Leave"
            raise DataError(
                f"no word of {', '.join(config.columns)} occurs {least} or more times "
                f"({(texts.list.len() > 0).sum()} of {len(texts)} items have words). {lower} the "
                f"modality out."
            )
        if config.vectors is None:
            return self._train(texts.to_list(), counts["word"].to_list())
        known = _read(config.vectors, counts["word"].to_list(), config.encoder)
        logger.info(
            "%s: %d of %d different words have a vector in %s",
            *(config.encoder, len(known.words), len(counts), config.vectors),
        )
        return known

    def _train(self, texts: list[list[str]], words: list[str]) -> WordVectors:
        try:
            from gensim.models import Word2Vec
        except ImportError as error:
            raise missing_extra(error, self.config.encoder) from error
        config = self.config
        pieces = [
            text[start : start + LONGEST_TEXT]
            for text in texts
            for start in range(0, len(text), LONGEST_TEXT)
        ]
        with step("Training word vectors", (1 + config.epochs) * len(pieces)) as bar:
            vectors = Word2Vec(
                _Passes(pieces, bar),
                sg=int(config.algorithm == "skipgram"),
                vector_size=config.dim,
                window=config.window,
                epochs=config.epochs,
                min_count=config.min_count,
                seed=config.seed,
                workers=1,
            ).wv
        return WordVectors(words, vectors[words])


class _Passes:
    """Iterable of the texts for each pass of gensim, with progress."""

    def __init__(self, texts: list[list[str]], bar: Step) -> None:
        self._texts, self._bar = texts, bar

    def __iter__(self) -> Iterator[list[str]]:
        for text in self._texts:
            yield text
            self._bar.advance()


def _read(path: Path, words: list[str], encoder: str) -> WordVectors:
    """Read the vectors of the words that the file has."""
    try:
        from gensim.models import KeyedVectors
        from gensim.utils import open as open_unpacked
    except ImportError as error:
        raise missing_extra(error, encoder) from error
    try:
        with open_unpacked(str(path), "rb") as file:
            header, line = file.readline(LONGEST_LINE), file.readline(LONGEST_LINE)
        binary = not _is_text(header, line)
        with step("Reading word vectors"):
            vectors = KeyedVectors.load_word2vec_format(
                str(path), binary=binary, unicode_errors="replace"
            )
    except OSError as error:
        raise DataError(f"vectors = {str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, EOFError, AssertionError, MemoryError) as error:
        raise DataError(
            f"vectors = {str(path)!r} is not in the text or binary format of word2vec ({error}). "
            f"Its first line must hold the number of words and the width of their vectors, and "
            f"each word must be followed by its vector."
        ) from error
    known = [word for word in words if word in vectors]
    if not known:
        raise DataError(
            f"vectors = {str(path)!r} has none of the {len(words)} different words of the items, "
            f"such as {words[0]!r}. Choose vectors of lower-case words of the same language."
        )
    matrix = vectors[known]
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise DataError(
            f"vectors = {str(path)!r}: the vector of {known[int(bad.argmax())]!r} is not finite "
            f"({int(bad.sum())} such words). Remove these words."
        )
    return WordVectors(known, matrix)


def _is_text(header: bytes, line: bytes) -> bool:
    """Return whether the line is a word and, in digits, as many numbers as the header says."""
    try:
        numbers = [float(number) for number in line.decode().split()[1:]]
        return len(numbers) == int(header.split()[1])
    except (ValueError, IndexError):  # not UTF-8, or no number
        return False
