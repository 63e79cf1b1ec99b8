import gzip
import logging
import pickle
import random
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Modality
from graphrec.features import ENCODERS
from graphrec.features.tabular.word2vec import LONGEST_TEXT, Word2VecConfig, Word2VecEncoder

pytest.importorskip("gensim")

VECTORS = {"red": [1.0, 0.0], "blue": [0.0, 2.0], "flat": [3.0, 3.0]}


def encode(titles: list[str | None], **settings: object) -> Modality:
    ids = pl.Series([f"i{row}" for row in range(len(titles))])
    table = pl.DataFrame({"title": titles}, schema={"title": pl.String})
    config = Word2VecConfig(**{"columns": "title", **settings})
    return Word2VecEncoder(config).encode(table, ids)


def text_file(path: Path, vectors: dict[str, list[float]] = VECTORS) -> Path:
    lines = [f"{len(vectors)} {len(next(iter(vectors.values())))}"]
    lines += [f"{word} {' '.join(map(str, row))}" for word, row in vectors.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def binary_file(path: Path, newline: bytes = b"\n") -> Path:
    rows = [
        word.encode() + b" " + np.array(row, dtype=np.float32).tobytes() + newline
        for word, row in VECTORS.items()
    ]
    path.write_bytes(b"3 2\n" + b"".join(rows))
    return path


def two_topics(count: int = 60) -> list[str]:
    """Titles of garden words and of kitchen words, in turn."""
    rng = np.random.default_rng(0)
    topics = (["lamp", "rose", "spade", "hedge"], ["bowl", "spoon", "oven", "plate"])
    return [" ".join(rng.choice(topics[row % 2], size=8)) for row in range(count)]


SMALL = {"dim": 8, "epochs": 60, "window": 3}


# Pretrained vectors.


def test_an_item_is_the_mean_of_its_known_words(tmp_path):
    result = encode(["Red BLUE, red", "blue", "flat other"], vectors=text_file(tmp_path / "v.txt"))
    np.testing.assert_allclose(result.values, [[2 / 3, 2 / 3], [0, 2], [3, 3]], rtol=1e-6)
    assert result.values.dtype == np.float32
    assert result.present.all()


def test_idf_weighs_words_as_by_hand(tmp_path):
    titles = ["red blue blue", "red", "red flat", None, "unknown"]
    result = encode(titles, vectors=text_file(tmp_path / "v.txt"), weighting="idf")
    weight = {w: 1 + np.log(4 / (1 + df)) for w, df in (("red", 3), ("blue", 1), ("flat", 1))}
    expected = []
    for title in titles[:3]:
        words = title.split()
        total = sum(weight[w] * np.array(VECTORS[w]) for w in words)
        expected.append(total / sum(weight[w] for w in words))
    np.testing.assert_allclose(result.values[:3], expected, rtol=1e-6)
    assert result.present.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("text", [None, "", " ", "?!", "x", "unknown words"])
def test_an_item_without_a_known_word_is_missing_not_zero(tmp_path, text):
    result = encode(["red", text], vectors=text_file(tmp_path / "v.txt"))
    assert result.present.tolist() == [True, False]
    assert not result.values[1].any()


def test_text_binary_and_packed_files_are_told_apart_by_their_content(tmp_path):
    plain = text_file(tmp_path / "any.name")
    packed = tmp_path / "v.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    files = [plain, packed, binary_file(tmp_path / "a.vec"), binary_file(tmp_path / "b", b"")]
    found = {encode(["red blue", "flat"], vectors=file).fingerprint for file in files}
    assert len(found) == 1


def test_a_word_cut_inside_a_letter_spoils_no_other(tmp_path):
    """The tool that made many public files cuts long words after some bytes."""
    content = binary_file(tmp_path / "v.bin").read_bytes()
    (tmp_path / "v.bin").write_bytes(content.replace(b"blue", b"blu\xc3"))
    assert encode(["red", "blue"], vectors=tmp_path / "v.bin").present.tolist() == [True, False]


def test_files_of_gensim_are_read(tmp_path):
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(2)
    vectors.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    for binary in (False, True):
        vectors.save_word2vec_format(str(tmp_path / "v"), binary=binary)
        assert encode(["red red flat"], vectors=tmp_path / "v").values[0].tolist() == pytest.approx(
            [5 / 3, 1]
        )


@pytest.mark.parametrize("name", ["algorithm", "dim", "window", "epochs", "min_count", "seed"])
def test_settings_of_training_are_refused_beside_vectors(tmp_path, name):
    other = {"algorithm": "cbow"}.get(name, 7)
    with pytest.raises(ValidationError, match=f"{name} has no effect; remove it"):
        Word2VecConfig(columns="title", vectors=tmp_path / "v.txt", **{name: other})


def test_a_resolved_configuration_with_vectors_can_be_run_again(tmp_path):
    config = Word2VecConfig(columns="title", vectors=tmp_path / "v.txt")
    assert Word2VecConfig(**config.model_dump(mode="json")) == config


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"vectors = '.*none\.txt' cannot be read: No such file"):
        encode(["red"], vectors=tmp_path / "none.txt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"red 1 2\nblue 3 4\n",
        b"3 2\nred 1 2\n",
        b"1 2\nred 1\n",
        b"9 9\nred \x00\x01",
        b"\x80",
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, content):
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"v\.bin' is not in the text or binary format"):
        encode(["red"], vectors=tmp_path / "v.bin")


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "v.kv").write_bytes(pickle.dumps(VECTORS))
    with pytest.raises(DataError, match="is not in the text or binary format"):
        encode(["red"], vectors=tmp_path / "v.kv")


def test_vectors_of_another_language_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"has none of the 2 different words .* such as 'blau'"):
        encode(["rot blau"], vectors=text_file(tmp_path / "v.txt"))


def test_a_vector_that_is_not_finite_is_named(tmp_path):
    path = text_file(tmp_path / "v.txt", {"red": [1.0, 0.0], "blue": [float("nan"), 1.0]})
    assert encode(["red"], vectors=path).present.all()
    with pytest.raises(DataError, match=r"vector of 'blue' is not finite \(1 such words\)"):
        encode(["red blue"], vectors=path)


def test_the_share_of_known_words_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        encode(["red blue green"], vectors=text_file(tmp_path / "v.txt"))
    assert "2 of 3 different words have a vector" in caplog.text


# Training.


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_words_of_one_topic_come_to_lie_together(algorithm):
    values = encode(two_topics(), algorithm=algorithm, **SMALL).values
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    cosines = values @ values.T
    same = np.arange(60) % 2 == np.arange(60)[:, None] % 2
    assert cosines[same].mean() > cosines[~same].mean() + 0.2


def test_two_runs_give_the_same_bits_and_another_seed_others():
    prints = [encode(two_topics(), **SMALL, seed=seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    "other", [{"algorithm": "cbow"}, {"window": 1}, {"epochs": 1}, {"weighting": "idf"}]
)
def test_settings_reach_the_training(other):
    titles = [*two_topics(), "lamp bowl"]
    assert encode(titles, **SMALL).fingerprint != encode(titles, **{**SMALL, **other}).fingerprint


def test_the_global_random_state_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    encode(two_topics(), **SMALL)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002


def test_rare_words_have_no_vector():
    result = encode(["red red", "blue", "blue", "flat"], dim=4, min_count=2)
    assert result.present.tolist() == [True, True, True, False]
    assert result.values.shape == (4, 4)
    assert encode(["red", "flat"], dim=4, min_count=1).present.all()


def test_all_words_of_a_long_text_are_trained_on():
    """gensim itself would read the first ten thousand only."""
    common = "lamp rose " * (LONGEST_TEXT // 2)
    without = encode([common, "bowl spoon"], dim=4, epochs=3)
    assert without.present.tolist() == [True, False]  # once each: rarer than min_count
    longer = encode([common + "bowl spoon " * 500, "bowl spoon"], dim=4, epochs=3)
    apart = encode([common, "bowl spoon " * 500, "bowl spoon"], dim=4, epochs=3)
    np.testing.assert_array_equal(longer.values[1], apart.values[2])


def test_columns_and_lists_are_joined_as_by_the_other_encoders():
    items = pl.DataFrame({"a": ["red", None, "blue"], "b": [["blue"], ["blue", None], ["red"]]})
    config = Word2VecConfig(columns=("a", "b"), dim=4)
    apart = Word2VecEncoder(config).encode(items, pl.Series(["x", "y", "z"]))
    assert apart.fingerprint == encode(["red blue", "blue", "blue red"], dim=4).fingerprint


def test_no_word_at_all_names_column_and_remedy(tmp_path):
    with pytest.raises(DataError, match=r"no word of title .*\(1 of 2 items.*Lower min_count"):
        encode([None, "red"])
    with pytest.raises(DataError, match=r"\(0 of 2 items have words\)\. Leave the modality out"):
        encode([None, " "], vectors=text_file(tmp_path / "v.txt"))


def test_without_gensim_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    for settings in ({}, {"vectors": text_file(tmp_path / "v.txt")}):
        with pytest.raises(ConfigError, match=r"'word2vec' needs gensim.*graphrec\[encoders\]"):
            encode(["red", "red"], **settings)


def test_it_is_in_the_table():
    assert ENCODERS["word2vec"] is Word2VecEncoder
