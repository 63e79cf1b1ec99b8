import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from graphrec.core.errors import DataError
from graphrec.data import Modality
from graphrec.features.tabular.matrices import FileConfig, FileEncoder

ROWS = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


def encode(path: Path, item_ids: list[str], **settings: object) -> Modality:
    config = FileConfig(path=path, **settings)
    return FileEncoder(config).encode(None, pl.Series(item_ids, dtype=pl.String))


@pytest.fixture
def npy(tmp_path):
    def save(values: object, name: str = "rows.npy") -> Path:
        np.save(tmp_path / name, np.asarray(values))
        return tmp_path / name

    return save


@pytest.fixture
def text(tmp_path):
    def save(content: str) -> Path:
        (tmp_path / "ids.txt").write_text(content, encoding="utf-8")
        return tmp_path / "ids.txt"

    return save


# --- which row belongs to which item ---


def test_without_ids_row_r_is_item_r(npy):
    result = encode(npy(ROWS), ["2", "0"])
    assert result.values.tolist() == [[5, 6], [1, 2]]
    assert result.present.all()


def test_with_ids_rows_follow_them(npy, text):
    result = encode(npy(ROWS), ["a", "b", "c"], ids=text("c\na\nb\n"))
    assert result.values.tolist() == [[3, 4], [5, 6], [1, 2]]


def test_shuffled_rows_with_shuffled_ids_give_the_same_features(npy, text):
    order = np.array([2, 0, 1])
    ids = ["a", "b", "c"]
    straight = encode(npy(ROWS), ids, ids=text("a\nb\nc\n"))
    shuffled = encode(npy(ROWS[order]), ids, ids=text("\n".join(ids[row] for row in order)))
    assert shuffled.fingerprint == straight.fingerprint


def test_an_item_without_a_row_is_missing_and_zero(npy, text):
    result = encode(npy(ROWS), ["a", "new", "c"], ids=text("a\nb\nc"))
    assert result.present.tolist() == [True, False, True]
    assert result.values[1].tolist() == [0, 0]


def test_rows_of_unknown_items_are_counted_in_the_log(npy, text, caplog):
    with caplog.at_level(logging.INFO):
        encode(npy(ROWS), ["b"], ids=text("a\nb\nc"))
    assert "2 of 3 rows belong to no item" in caplog.text


def test_too_few_rows_without_ids_name_both_numbers(npy):
    with pytest.raises(DataError, match=r"has 3 rows.* 1 of the 2 items: '3' is not .* 0 to 2"):
        encode(npy(ROWS), ["0", "3"])


def test_ids_that_are_no_row_numbers_need_an_ids_file(npy):
    with pytest.raises(DataError, match=r"'B00' is not a number from 0 to 2.* give ids"):
        encode(npy(ROWS), ["0", "B00"])


def test_another_number_of_ids_than_rows_names_both(npy, text):
    with pytest.raises(DataError, match=r"rows\.npy has 3 rows, but 4 ids .* no header"):
        encode(npy(ROWS), ["a"], ids=text("item\na\nb\nc\n"))


def test_an_id_given_twice_names_id_and_rows(npy, text):
    with pytest.raises(DataError, match=r"rows 0 and 2 both have the id 'a'"):
        encode(npy(ROWS), ["a"], ids=text("a\nb\na"))


@pytest.mark.parametrize(("content", "line"), [("a\n\nc", 2), ("a\tx\nb\ty\nc\tz", 1)])
def test_a_line_that_is_not_one_id_is_named(npy, text, content, line):
    with pytest.raises(DataError, match=rf"ids\.txt: line {line} is .*not one item id"):
        encode(npy(ROWS), ["a"], ids=text(content))


# --- which rows hold anything ---


def test_a_mask_marks_rows_before_they_are_put_in_item_order(npy, text):
    mask = npy([True, False, True], "mask.npy")
    result = encode(npy(ROWS), ["a", "b", "c"], ids=text("c\na\nb"), mask=mask)
    assert result.present.tolist() == [False, True, True]
    assert result.values.tolist() == [[0, 0], [5, 6], [1, 2]]


def test_zero_rows_are_present_and_warned_about_by_default(npy, caplog):
    with caplog.at_level(logging.WARNING):
        result = encode(npy([[1, 2], [0, 0]]), ["0", "1"])
    assert result.present.all()
    assert "1 rows are all zeros" in caplog.text
    assert "missing = 'zero_rows'" in caplog.text


def test_zero_rows_can_stand_for_missing_items(npy):
    result = encode(npy([[1, 2], [0, 0]]), ["0", "1"], missing="zero_rows")
    assert result.present.tolist() == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_row_that_is_not_finite_names_file_row_item_and_remedy(npy, text, value):
    path = npy([[1, 2], [3, value]])
    with pytest.raises(DataError, match=r"rows\.npy: row 1 \(item 'x'\) .*nan = 'missing'"):
        encode(path, ["x", "y"], ids=text("y\nx"))


def test_rows_with_nan_can_be_taken_as_missing(npy):
    result = encode(npy([[1, 2], [3, np.nan]]), ["0", "1"], nan="missing")
    assert result.present.tolist() == [True, False]
    assert result.values.tolist() == [[1, 2], [0, 0]]


def test_nan_in_rows_that_are_masked_or_belong_to_no_item_is_no_error(npy):
    path = npy([[1, 2], [np.nan, 4], [np.nan, 6]])
    mask = npy([True, False, True], "mask.npy")
    assert encode(path, ["0", "1"], mask=mask).present.tolist() == [True, False]


@pytest.mark.parametrize("mask", [[True, False], [1, 0, 1]])
def test_a_mask_of_another_length_or_type_is_refused(npy, mask):
    with pytest.raises(DataError, match=r"mask .*mask\.npy must be .* 3 bool"):
        encode(npy(ROWS), ["0"], mask=npy(mask, "mask.npy"))


# --- scaling ---


def test_l2_scales_rows_and_leaves_zero_rows(npy):
    result = encode(npy([[3, 4], [0, 0]]), ["0", "1"], normalize="l2")
    np.testing.assert_allclose(result.values, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_standard_scales_columns_over_present_rows_only(npy):
    mask = npy([True, True, False], "mask.npy")
    path = npy([[1, 7], [3, 7], [100, 100]])
    result = encode(path, ["0", "1", "2"], normalize="standard", mask=mask)
    assert result.values.tolist() == [[-1, 0], [1, 0], [0, 0]]


# --- formats ---


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8])
def test_every_number_type_becomes_float32(npy, dtype):
    result = encode(npy(ROWS.astype(dtype)), ["0", "1", "2"])
    assert result.values.dtype == np.float32
    assert result.values.tolist() == ROWS.tolist()


def test_npz_with_one_array_needs_no_name(tmp_path):
    np.savez(tmp_path / "a.npz", image=ROWS)
    assert encode(tmp_path / "a.npz", ["1"]).values.tolist() == [[3, 4]]


def test_npz_with_several_arrays_needs_one(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", image=ROWS, audio=ROWS * 2)
    assert encode(tmp_path / "a.npz", ["1"], array="audio").values.tolist() == [[6, 8]]
    with pytest.raises(DataError, match=r"a\.npz holds 2 arrays: image, audio\. Set array"):
        encode(tmp_path / "a.npz", ["1"])
    with pytest.raises(DataError, match=r"no array 'imag'\. Did you mean 'image'\?"):
        encode(tmp_path / "a.npz", ["1"], array="imag")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_safetensors(tmp_path, dtype):
    tensors = {"image": torch.from_numpy(ROWS).to(dtype), "other": torch.zeros(1)}
    save_file(tensors, tmp_path / "a.safetensors")
    result = encode(tmp_path / "a.safetensors", ["2"], array="image")
    assert result.values.tolist() == [[5, 6]]
    with pytest.raises(DataError, match="no array 'images'"):
        encode(tmp_path / "a.safetensors", ["2"], array="images")


def test_parquet_with_one_column_per_feature(tmp_path):
    table = pl.DataFrame({"id": ["b", "a"], "x": [1.0, 2.0], "y": [3, 4]})
    table.write_parquet(tmp_path / "a.parquet")
    result = encode(tmp_path / "a.parquet", ["a", "b"])
    assert result.values.tolist() == [[2, 4], [1, 3]]


@pytest.mark.parametrize("dtype", [pl.List(pl.Float32), pl.Array(pl.Float32, 2)])
def test_parquet_with_lists_and_integer_ids(tmp_path, dtype):
    lists = pl.Series([[1, 2], None, [5, 6]], dtype=dtype)
    pl.DataFrame({"id": [7, 8, 9], "v": lists}).write_parquet(tmp_path / "a.parquet")
    result = encode(tmp_path / "a.parquet", ["9", "8", "7"], nan="missing")
    assert result.values.tolist() == [[5, 6], [0, 0], [1, 2]]
    assert result.present.tolist() == [True, False, True]
    with pytest.raises(DataError, match=r"row 1 \(item '8'\)"):
        encode(tmp_path / "a.parquet", ["9", "8", "7"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item": ["a"], "x": [1.0]}, r"no column 'id'.*Columns: item, x"),
        ({"id": ["a"], "x": ["red"]}, r"column 'x' holds String, not numbers"),
        ({"id": ["a", None], "x": [1, 2]}, r"column 'id' holds String with 1 nulls"),
        ({"id": [1.0], "x": [1]}, r"column 'id' holds Float64"),
        ({"id": ["a", "a"], "x": [1, 2]}, r"rows 0 and 1 both have the id 'a'"),
        ({"id": ["a", "b"], "x": [[1], [1, 2]]}, r"lists of column 'x' have the lengths \[1, 2\]"),
        ({"id": ["a"], "x": [["red"]]}, r"Cannot read .*a\.parquet"),
        ({"id": ["a"]}, r"has 1 rows and 0 columns beside 'id'"),
    ],
)
def test_a_parquet_file_of_another_form_is_refused(tmp_path, columns, message):
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        encode(tmp_path / "a.parquet", ["a"])


@pytest.mark.parametrize("values", [[1, 2, 3], np.zeros((2, 2, 2)), ["a"], np.zeros((3, 0))])
def test_anything_but_a_matrix_of_numbers_is_refused_with_its_shape(npy, values):
    with pytest.raises(DataError, match=r"rows\.npy holds .* of shape .*, not a matrix"):
        encode(npy(values), ["0"])


def test_a_pickled_array_is_never_loaded(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"Cannot read .*rows\.npy"):
        encode(tmp_path / "rows.npy", ["0"])


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors", "parquet"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_broken_or_absent_file_is_named(tmp_path, suffix, exists):
    path = tmp_path / f"rows.{suffix}"
    if exists:
        path.write_bytes(b"neither one nor the other")
    with pytest.raises(DataError, match=rf"Cannot read .*rows\.{suffix}"):
        encode(path, ["0"])


@pytest.mark.parametrize("setting", ["ids", "mask"])
def test_an_absent_side_file_is_named(npy, tmp_path, setting):
    with pytest.raises(DataError, match=r"Cannot read .*gone.*No such file"):
        encode(npy(ROWS), ["0"], **{setting: tmp_path / "gone"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "rows.csv"}, r"path must end in .*not '\.csv'"),
        ({"path": "rows.npy", "array": "image"}, "array is for"),
        ({"path": "rows.parquet", "ids": "ids.txt"}, "ids is for matrices"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        FileConfig(**settings)


@pytest.mark.data
def test_real_tiktok_rows_cover_every_item():
    folder = os.environ.get("GRAPHREC_DATA")
    if folder is None:
        pytest.skip("GRAPHREC_DATA names no folder with data sets")
    path = Path(folder) / "tiktok" / "tiktok.npz"
    item_ids = [str(item) for item in range(6710)]
    result = encode(path, item_ids, array="audio", normalize="l2")
    assert result.values.shape == (6710, 128)
    lengths = np.linalg.norm(result.values, axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1, rtol=1e-5)


# --- what damaged and unusual files do ---


def flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet"])
def test_a_damaged_file_of_any_format_is_a_data_error(tmp_path: Path, ending: str) -> None:
    """numpy raises TokenError and NotImplementedError for some of them, zlib its own error."""
    path = tmp_path / f"rows.{ending}"
    match ending:
        case "npy":
            np.save(path, ROWS)
        case "npz":
            np.savez_compressed(path, rows=ROWS)
        case "safetensors":
            save_file({"rows": torch.from_numpy(ROWS)}, path)
        case "parquet":
            frame = pl.DataFrame({"id": ["0", "1", "2"], "a": [1.0, 2, 3], "b": [1.0, 2, 3]})
            frame.write_parquet(path)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 5):
        path.write_bytes(flip(whole, position))
        try:
            encode(path, ["0", "1", "2"], nan="missing")
        except DataError as error:
            refused += 1
            assert path.name in str(error)
        path.write_bytes(whole[:position])
        with pytest.raises(DataError, match=r"rows\.\w+"):
            encode(path, ["0", "1", "2"])
    assert refused


@pytest.mark.parametrize("header", [b"{'descr': (", b"{'descr': '<f4', 'x': ", b"((((((("])
def test_a_header_that_numpy_cannot_parse_is_a_data_error(npy, header) -> None:
    path = npy(ROWS)
    content = path.read_bytes()
    path.write_bytes(content[:10] + header + content[10 + len(header) :])
    with pytest.raises(DataError, match=r"Cannot read .*rows\.npy"):
        encode(path, ["0"])


def test_a_shape_of_terabytes_is_a_data_error(npy) -> None:
    path = npy(ROWS)
    path.write_bytes(path.read_bytes().replace(b"(3, 2), }         ", b"(3000000000000, 2)"))
    with pytest.raises(DataError, match=r"Cannot read .*rows\.npy"):
        encode(path, ["0"])


@pytest.mark.parametrize("name", ["rows[1].parquet", "rows*.parquet"])
def test_the_path_of_a_table_is_no_pattern(tmp_path: Path, name: str) -> None:
    pl.DataFrame({"id": ["a"], "x": [9.0]}).write_parquet(tmp_path / "rows1.parquet")
    pl.DataFrame({"id": ["a"], "x": [1.0]}).write_parquet(tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / name)
    assert encode(tmp_path / name, ["a"]).values.tolist() == [[1]]


@pytest.mark.parametrize("ids", [pl.Series([b"01"]), pl.Series(["01"], dtype=pl.Categorical)])
def test_ids_of_a_table_may_be_bytes_or_categories(tmp_path: Path, ids: pl.Series) -> None:
    pl.DataFrame({"id": ids, "x": [1.0]}).write_parquet(tmp_path / "rows.parquet")
    assert encode(tmp_path / "rows.parquet", ["01"]).present.tolist() == [True]


def test_a_member_of_an_archive_that_is_no_array_is_a_data_error(tmp_path: Path) -> None:
    """numpy hands out the bytes of a member without its magic number, and reads npz named npy."""
    path = tmp_path / "rows.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.npy", b"no array at all")
    with pytest.raises(DataError, match=r"rows\.npz: rows is no array"):
        encode(path, ["0", "1", "2"])
    misnamed = tmp_path / "rows.npy"
    np.savez(tmp_path / "other.npz", rows=ROWS)
    (tmp_path / "other.npz").rename(misnamed)
    with pytest.raises(DataError, match=r"archive of arrays. Name it \.npz"):
        encode(misnamed, ["0", "1", "2"])
