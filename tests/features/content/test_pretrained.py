import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.networks import Network
from graphrec.features.content.pretrained import Batch, ContentEncoder, EncodedModality
from graphrec.features.content.sources import Content
from graphrec.features.text.config import TextConfig


class Table(ContentEncoder):
    """Looks the rows up: ``rows[text]``, or a reason why the text cannot be read."""

    kind = "text"
    Config = TextConfig

    def __init__(self, config: PretrainedConfig, rows: dict[str, list[float] | str]) -> None:
        super().__init__(config)
        self.rows = rows
        self.asked: list[str] = []

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        keys = [hashlib.sha256(item.encode()).hexdigest() for item in item_ids]
        table = pl.DataFrame({"item": item_ids, "source": item_ids, "key": keys})
        return Content(table.with_columns(reason=pl.lit(None, pl.String)), unused=2)

    def identity(self) -> dict[str, Json]:
        return {"encoder": "table"}

    def licence(self) -> str:
        return "mine"

    def network(self) -> Network:
        raise NotImplementedError

    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        self.asked += sources.to_list()
        for at, source in enumerate(sources):
            row = self.rows[source]
            if isinstance(row, str):
                yield Batch(np.empty(0, np.int64), np.empty((0, 0), np.float32), {at: row})
            else:
                yield Batch(np.array([at]), np.array([row], np.float32), {})


ROWS: dict[str, list[float] | str] = {
    "a": [3.0, 4.0],
    "b": [0.0, 0.0],
    "c": [np.nan, 1.0],
    "d": [3.0, 4.0],
    "e": "cannot be read",
    "f": [1e30, 1.0],
}


def encode(
    store: Path,
    items: str,
    rows: dict[str, list[float] | str] | None = None,
    **settings: object,
) -> EncodedModality:
    config = TextConfig(encoder="hf:x", text="t", store=store, **settings)
    return Table(config, ROWS if rows is None else rows).encode(None, pl.Series(list(items)))


def test_rows_are_counted_by_what_is_odd_about_them(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = encode(tmp_path, "abcde")
    report = found.report
    assert found.present.tolist() == [True, True, False, True, False]
    assert found.values.tolist() == [[3, 4], [0, 0], [0, 0], [3, 4], [0, 0]]
    assert (report.encoded, report.reused) == (4, 0)
    assert (report.nan, report.zero, report.duplicates, report.unused) == (1, 1, 1, 2)
    assert report.missing == {"c": "the encoder gave NaN or infinity", "e": "cannot be read"}
    for words in ("2 items are missing (c: ", "1 items have a row of zeros", "2 files belong to"):
        assert words in caplog.text


def test_what_cannot_be_read_is_tried_again_and_what_can_is_not(tmp_path):
    encode(tmp_path, "ae")
    config = TextConfig(encoder="hf:x", text="t", store=tmp_path)
    encoder = Table(config, {"e": [1.0, 2.0]})
    found = encoder.encode(None, pl.Series(["a", "e"]))
    assert encoder.asked == ["e"]
    assert found.values.tolist() == [[3, 4], [1, 2]]


def test_strict_lists_items_whose_row_is_not_finite_or_cannot_be_read(tmp_path):
    message = r"2 of 3 items have no text \('c': the encoder gave NaN.*; 'e': cannot be read\)"
    with pytest.raises(DataError, match=message):
        encode(tmp_path, "ace", strict=True)


def test_strict_names_at_most_ten_items(tmp_path):
    rows: dict[str, list[float] | str] = dict.fromkeys("abcdefghijkl", "bad")
    with pytest.raises(DataError, match=r"12 of 12 items .*'j': bad; \.\.\.\)\. Repair them"):
        encode(tmp_path, "abcdefghijkl", rows, strict=True)


def test_a_value_beyond_float16_counts_as_not_finite(tmp_path):
    assert encode(tmp_path, "af").present.all()
    assert encode(tmp_path, "af", storage="float16").report.nan == 1


def test_float16_is_recorded_in_the_manifest(tmp_path):
    report = encode(tmp_path, "a", storage="float16").report
    manifest = json.loads((Path(report.folder) / "manifest.json").read_text())
    assert manifest == {
        "kind": "text",
        "encoder": "table",
        "dtype": "float16",
        "licence": "mine",
        "width": 2,
    }


def test_l2_scales_rows_to_length_1_and_leaves_zero_rows(tmp_path):
    found = encode(tmp_path, "ab", normalize="l2")
    np.testing.assert_allclose(found.values, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_pca_uses_the_items_that_have_a_row(tmp_path):
    rows: dict[str, list[float] | str] = {"a": [0, 0], "b": "bad", "c": [3, 4], "d": [6, 8]}
    found = encode(tmp_path, "abcd", rows, pca=1)
    assert found.present.tolist() == [True, False, True, True]
    np.testing.assert_allclose(found.values[:, 0], [-5, 0, 0, 5], atol=1e-6)


def test_a_matrix_too_large_for_memory_lies_in_the_store(tmp_path):
    rows: dict[str, list[float] | str] = {name: [1.0] * 50_000 for name in "abcdef"}
    found = encode(tmp_path, "abcdef", rows, memory_mb=1)
    assert isinstance(found.values, np.memmap)
    assert found.fingerprint == encode(tmp_path, "abcdef", rows).fingerprint


def test_beside_the_rows_stands_what_each_item_had(tmp_path):
    found = encode(tmp_path, "abce", normalize="l2")
    (path,) = Path(found.report.folder).glob("items-*.parquet")
    table = pl.read_parquet(path)
    assert table["item"].to_list() == list("abce")
    assert table["key"][0] == hashlib.sha256(b"a").hexdigest()
    assert table["reason"].to_list() == [None, None, "the encoder gave NaN or infinity", ROWS["e"]]
    notes = pl.read_parquet_metadata(path)
    assert (notes["pca"], notes["normalize"]) == ("None", "l2")
    encode(tmp_path, "abce", pca=1)
    assert len(list(Path(found.report.folder).glob("items-*.parquet"))) == 2


def test_nothing_to_encode_is_no_row(tmp_path):
    found = encode(tmp_path, "e")
    assert found.values.shape == (1, 0)
    assert not found.present.any()


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "store").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"Cannot write .*store.*Not a directory"):
        encode(tmp_path / "store", "a")
