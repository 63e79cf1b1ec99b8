"""Neighbour lists of others, and our own kept under the key of their content."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.data import Modality, load
from graphrec.data.neighbours import Neighbours
from graphrec.features.tabular.neighbour_files import read_neighbours
from graphrec.graphs import cached_neighbours, nearest_items, neighbours_key, similarity_graph
from graphrec.graphs import neighbour_cache as module

IDS = pl.Series(["0", "1", "2", "3"])
ROWS = [[0, 2, 1], [3, 1, 0], [2, 0, -1], [1, 3, 2]]
COSINES = [[1, 0.5, 0.25], [0.75, 1, 0.25], [1, 0.5, 9], [0.75, 1.0000004, 0.75]]


def write(
    path: Path, rows: object = ROWS, cosines: object = COSINES, modality: str = "text"
) -> Path:
    arrays = {
        f"{modality}_nbr": np.array(rows, dtype=np.int32),
        f"{modality}_cos": np.array(cosines, dtype=np.float32),
    }
    np.savez(path, **arrays)
    return path


def same(one: Neighbours, other: Neighbours) -> bool:
    items = np.array_equal(one.items, other.items)
    return items and np.array_equal(one.cosines, other.cosines)


# Files of others.


def test_rows_lose_themselves_and_are_sorted(tmp_path: Path) -> None:
    result = read_neighbours(write(tmp_path / "knn.npz"), "text", IDS)
    assert result.items.tolist() == [[2, 1, -1], [3, 0, -1], [0, -1, -1], [1, 2, -1]]
    assert result.cosines.tolist() == [
        [0.5, 0.25, 0],
        [0.75, 0.25, 0],
        [0.5, 0, 0],
        [0.75] * 2 + [0],
    ]
    assert (result.items.dtype, result.cosines.dtype) == (np.int32, np.float32)
    best = read_neighbours(tmp_path / "knn.npz", "text", IDS, k=1)
    assert best.items.tolist() == [[2], [3], [0], [1]]


def test_ids_align_rows_with_the_items_of_a_data_set(tmp_path: Path) -> None:
    """Row 1 is of no item, which takes it from every list; item "none" has no row."""
    ids = tmp_path / "ids.tsv"
    ids.write_text("asin\titemID\nd\t3\nb\t1\na\t0\nc\t2\n", encoding="utf-8")
    path = write(tmp_path / "knn.npz")
    items = pl.Series(["d", "none", "c", "a"])
    result = read_neighbours(path, "text", items, ids=ids)
    assert result.items.tolist() == [[2, -1, -1], [-1, -1, -1], [3, -1, -1], [2, -1, -1]]
    assert result.cosines[:, 0].tolist() == [0.75, 0, 0.5, 0.5]


def test_our_own_neighbours_survive_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 5)).astype(np.float32)
    expected = nearest_items(values, rng.random(30) < 0.8, 4)
    path = write(tmp_path / "knn.npz", expected.items, expected.cosines, "image")
    ids = pl.Series(range(30)).cast(pl.String)
    assert same(read_neighbours(path, "image", ids), expected)


BAD_LISTS = [
    ([[1, 2]] * 3 + [[1, 4]], [[0.5, 0.5]] * 4, r"row 3 holds 4: text_nbr must be a row, 0\.\.3"),
    ([[1, -2]] * 4, [[0.5, 0.5]] * 4, "row 0 holds -2"),
    ([[1, 2], [2, 2], [0, 1], [0, 1]], [[0.5, 0.5]] * 4, "row 1 holds 2: .*twice"),
    ([[1, 2]] * 4, [[0.5, 0.5]] * 3 + [[0.5, 1.5]], "row 3 holds 1.5: text_cos must be a cosine"),
    ([[1, 2]] * 4, [[np.nan, 0.5]] * 4, "row 0 holds nan"),
    ([[1, 2]] * 4, [[0.5]] * 4, r"text_nbr has the shape \(4, 2\), text_cos \(4, 1\)"),
    ([1, 2, 3, 0], [0.5] * 4, r"int32 of shape \(4,\)"),
    ([[]] * 4, [[]] * 4, r"int32 of shape \(4, 0\)"),
]


@pytest.mark.parametrize(("rows", "cosines", "message"), BAD_LISTS)
def test_lists_that_cannot_be_are_refused(
    tmp_path: Path, rows: object, cosines: object, message: str
) -> None:
    path = write(tmp_path / "knn.npz", rows, cosines)
    with pytest.raises(DataError, match=message) as error:
        read_neighbours(path, "text", IDS)
    assert str(path) in str(error.value)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "knn.npz", modality="image")
    with pytest.raises(DataError, match=r"no array 'imgae_nbr'\. Did you mean 'image_nbr'"):
        read_neighbours(path, "imgae", IDS)
    with pytest.raises(DataError, match=r"holds 3 neighbours .* not k = 4\. Set k to 1\.\.3"):
        read_neighbours(path, "image", IDS, k=4)


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "knn.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"Cannot read .*knn\.npz"):
        read_neighbours(path, "text", IDS)


HUGE = b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999, 2), }"
CUT = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4, 2), "
NOT_SO_LARGE = b"{'descr': '<i8', 'fortran_order': False, 'shape': (10**99, 2), }"


@pytest.mark.parametrize(
    "member",
    [b"\x93NUMPY\x01\x00\x48\x00" + each.ljust(71) + b"\n" for each in (HUGE, CUT, NOT_SO_LARGE)]
    + [b"no array", b""],
    ids=["huge", "cut", "no shape", "text", "empty"],
)
def test_a_damaged_array_is_refused_whatever_its_parser_raises(
    tmp_path: Path, member: bytes
) -> None:
    """MemoryError, TokenError, AttributeError and others were not."""
    path = write(tmp_path / "knn.npz")
    with zipfile.ZipFile(path) as whole:
        other = whole.read("text_cos.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("text_nbr.npy", member)
        archive.writestr("text_cos.npy", other)
    with pytest.raises(DataError, match=r"knn\.npz"):
        read_neighbours(path, "text", IDS)


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "knn.npy"
    np.save(path, np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"knn\.npy is a single array.*text_nbr and text_cos"):
        read_neighbours(path, "text", IDS)


def test_floats_are_no_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "knn.npz"
    np.savez(path, text_nbr=np.zeros((4, 2)), text_cos=np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"text_nbr must be integers .*float64"):
        read_neighbours(path, "text", IDS)


@pytest.mark.parametrize("items", [["0", "1", "2", "3", "4"], ["0", "1", "2", "x"]])
def test_rows_by_number_must_cover_the_items(tmp_path: Path, items: list[str]) -> None:
    path = write(tmp_path / "knn.npz")
    with pytest.raises(DataError, match=rf"4 rows, but 1 of the .* the first is '{items[-1]}'"):
        read_neighbours(path, "text", pl.Series(items))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\trow\na\t0\nb\t1\nc\t2\n", "ids.tsv has 3 rows, .* not each of the row numbers"),
        ("id\trow\na\t0\nb\t1\nc\t2\nd\t2\n", "not each of the row numbers"),
        ("id\trow\na\t0\nb\t1\nc\t2\nd\tx\n", "not each of the row numbers"),
        ("id\trow\na\t0\nb\t1\nc\t2\na\t3\n", "'a' is empty or stands twice"),
        ("id\trow\na\t0\nb\t1\n\t2\nd\t3\n", "None is empty or stands twice"),
        ("id\na\nb\nc\nd\n", "has the columns id. Give two"),
        (
            "id\trow\nw\t0\nx\t1\ny\t2\nz\t3\n",
            "of its 4 ids, none is one of the 4 items: the data have 'a', the file has 'w'",
        ),
        ("", r"Cannot read .*ids\.tsv"),
    ],
)
def test_ids_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    ids = tmp_path / "ids.tsv"
    ids.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_neighbours(
            write(tmp_path / "knn.npz"), "text", pl.Series(["a", "b", "c", "d"]), ids=ids
        )


# Our own, by content.


@pytest.fixture
def modality() -> Modality:
    rng = np.random.default_rng(1)
    return Modality(rng.normal(size=(20, 4)).astype(np.float32), rng.random(20) < 0.9)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes each computation."""
    counted: list[int] = []

    def counting(values: object, present: object, k: int) -> Neighbours:
        counted.append(k)
        return nearest_items(values, present, k)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "nearest_items", counting)
    return counted


def test_the_key_covers_values_mask_and_k(modality: Modality) -> None:
    values, present = modality.values.copy(), modality.present.copy()
    key = neighbours_key(modality, 3)
    assert neighbours_key(Modality(values.copy(), present.copy()), 3) == key
    moved, masked = values.copy(), present.copy()
    moved[4, 2] += 1e-6
    masked[5] = ~masked[5]
    others = {
        neighbours_key(modality, 4),
        neighbours_key(Modality(moved, present), 3),
        neighbours_key(Modality(values, masked), 3),
    }
    assert len(others | {key}) == 4


def test_equal_features_are_compared_once(
    modality: Modality, runs: list[int], tmp_path: Path
) -> None:
    first = cached_neighbours(modality, 3, tmp_path / "graphs")
    assert same(first, nearest_items(modality.values, modality.present, 3))
    again = Modality(modality.values.copy(), modality.present.copy())
    assert same(cached_neighbours(again, 3, tmp_path / "graphs"), first)
    assert runs == [3]
    assert len(list((tmp_path / "graphs").iterdir())) == 1
    cached_neighbours(modality, 2, tmp_path / "graphs")
    assert runs == [3, 2]


def cut(content: bytes) -> bytes:
    return content[:-1]


def flip(content: bytes) -> bytes:
    """Change one neighbour, so that the archive itself stays readable but for its checksum."""
    place = content.index(np.int32(-1).tobytes())
    return content[:place] + np.int32(7).tobytes() + content[place + 4 :]


def rebuild(content: bytes) -> bytes:
    """A proper archive with other neighbours under the old check."""
    with np.load(io.BytesIO(content)) as arrays:
        items, cosines = arrays["items"][::-1], arrays["cosines"]
    buffer = io.BytesIO()
    np.savez(buffer, items=items, cosines=cosines)
    return buffer.getvalue() + content[-32:]


@pytest.mark.parametrize("tamper", [cut, flip, rebuild, lambda _: b"", lambda _: b"x" * 9])
def test_a_changed_file_is_not_used_but_rebuilt(
    modality: Modality, runs: list[int], tmp_path: Path, tamper: Callable[[bytes], bytes]
) -> None:
    first = cached_neighbours(modality, 3, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(tamper(content))
    assert same(cached_neighbours(modality, 3, tmp_path), first)
    assert runs == [3, 3]
    assert path.read_bytes() == content
    cached_neighbours(modality, 3, tmp_path)
    assert runs == [3, 3]


def test_a_file_under_the_name_of_other_features_is_not_used(
    modality: Modality, runs: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cached_neighbours(modality, 3, tmp_path)
    other = Modality(-modality.values[::-1], modality.present[::-1])
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{neighbours_key(other, 3)}.npz")
    result = cached_neighbours(other, 3, tmp_path)
    assert same(result, nearest_items(other.values, other.present, 3))
    assert runs == [3, 3]
    assert "damaged or of other features" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_warning(
    modality: Modality, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache only spares work: a full disk there ended runs that had all they needed."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    found = cached_neighbours(modality, 3, tmp_path / "file")
    assert same(found, nearest_items(modality.values, modality.present, 3))
    assert re.search(r"Cannot write \S*/file/\w+\.npz", caplog.text)


# Real lists.

REAL = [
    ("amazon-baby", None, 7050, 0),
    ("amazon-sports", None, 18357, 0),
    ("microlens-50k", "knn10_item_ids.tsv", 19220, 2028),
]


@pytest.mark.data
@pytest.mark.skipif("GRAPHREC_DATA" not in os.environ, reason="GRAPHREC_DATA is not set")
@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize(("name", "ids", "num_items", "without"), REAL)
def test_real_lists_fit_their_data_set(
    name: str, ids: str | None, num_items: int, without: int, modality: str
) -> None:
    folder = Path(os.environ["GRAPHREC_DATA"]) / name
    if not (folder / "knn10.npz").exists():
        pytest.skip(f"no knn10.npz of {name}")
    item_ids = load(name).item_ids
    table = None if ids is None else folder / ids
    result = read_neighbours(folder / "knn10.npz", modality, item_ids, ids=table)
    assert result.items.shape == (num_items, 10)
    known = result.items >= 0
    assert (~known.any(axis=1)).sum() == without
    assert not (result.items == np.arange(num_items)[:, None]).any()
    assert (result.cosines[known] > 0.2).all()
    assert (np.diff(np.where(known, result.cosines, -1), axis=1) <= 0).all()
    graph = similarity_graph({modality: result})
    assert graph.num_nodes == num_items
    assert bool(graph.values.isfinite().all())
