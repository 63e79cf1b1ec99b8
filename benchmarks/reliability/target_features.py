"""Targets: precomputed rows, attributes, neighbours, pictures and sounds."""

import hashlib
import io
import json
import math
import tempfile
import wave
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import safetensors.torch
import torch
from cases import Case, numpy_archive, numpy_file, written
from target_data import item_rows

from graphrec.core.config import Json
from graphrec.data import Modality
from graphrec.features.audio.sounds import read_sound
from graphrec.features.image.pictures import read_picture
from graphrec.features.tabular.attributes import AttributeConfig, AttributeEncoder
from graphrec.features.tabular.matrices import FileConfig, FileEncoder
from graphrec.features.tabular.neighbour_files import read_neighbours
from graphrec.graphs import cached_neighbours, neighbours_key

ITEMS = pl.Series("item", [str(number) for number in range(8)])


def matrices() -> list[Case]:
    """Rows in every format."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(8, 3)).astype(np.float32)
    tensors = {"a": torch.from_numpy(matrix), "b": torch.ones(8, 2, dtype=torch.bfloat16)}
    ids = "\n".join(f"{n}" for n in range(8)).encode()
    mask = numpy_file(np.arange(8) != 3)
    wide = pl.DataFrame({"id": ITEMS, "x": matrix[:, 0], "y": np.arange(8)})
    lists = pl.DataFrame({"id": np.arange(8), "v": matrix.tolist()})
    return [
        Case({"rows.npy": numpy_file(matrix)}, {}),
        Case(
            {"rows.npy": numpy_file(matrix.astype(np.float64)), "ids.txt": ids, "mask.npy": mask},
            {},
        ),
        Case({"rows.npz": numpy_archive({"a": matrix, "b": matrix})}, {"array": "a"}),
        Case({"rows.npz": numpy_archive({"a": matrix})}, {"normalize": "l2"}),
        Case({"rows.safetensors": safetensors.torch.save(tensors)}, {"array": "b"}),
        Case({"rows.safetensors": safetensors.torch.save(tensors), "ids.txt": ids}, {"array": "a"}),
        Case({"rows.parquet": written(wide, "parquet")}, {"normalize": "standard"}),
        Case({"rows.parquet": written(lists, "parquet")}, {"nan": "missing"}),
    ]


def read_matrix(folder: Path, settings: dict[str, Json]) -> object:
    """Encode rows of a file."""
    (path,) = folder.glob("rows.*")
    table: dict[str, Json] = {**settings, "path": str(path)}
    for name, file in (("ids", "ids.txt"), ("mask", "mask.npy")):
        if (folder / file).exists():
            table[name] = str(folder / file)
    return FileEncoder(FileConfig.model_validate(table)).encode(None, ITEMS)


ATTRIBUTES: dict[str, Json] = {
    "numeric": ["count"],
    "prices": ["price"],
    "dates": ["date"],
    "categorical": ["kind"],
    "multi": ["tags"],
}


def attributes() -> list[Case]:
    """Rows of an item table."""
    rows: list[Json] = cast(list[Json], item_rows().drop("item").rows(named=True))
    odd: list[Json] = [{"count": [1, 2], "price": 3, "date": 5, "kind": [["a"]], "tags": ["x"]}]
    return [Case({}, {"rows": rows}), Case({}, {"rows": rows[:2]}), Case({}, {"rows": odd})]


def read_attributes(_: Path, settings: dict[str, Json]) -> object:
    """Encode attributes."""
    rows = settings.get("rows")
    if not isinstance(rows, list):
        return None
    plain = [row for row in rows if isinstance(row, dict) and len(json.dumps(row)) < 600]
    try:
        table = pl.read_ndjson("\n".join(map(json.dumps, plain)).encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError, pl.exceptions.PanicException):
        return None  # what cannot be read is for the readers to refuse
    if table.is_empty():
        return None
    encoder = AttributeEncoder(AttributeConfig.model_validate(ATTRIBUTES))
    return encoder.encode(table, pl.Series("item", map(str, range(len(table)))))


def neighbours() -> list[Case]:
    """Lists of neighbours, given and kept."""
    rows = (np.arange(8)[:, None] + np.array([1, 2, 3])) % 8
    arrays = {"text_nbr": rows, "text_cos": np.full((8, 3), 0.5)}
    ids = "id\trow\n" + "\n".join(f"{n}\t{n}" for n in range(8))
    kept = Case({"kept.npz": b""}, {})
    return [
        Case({"rows.npz": numpy_archive(arrays)}, {}),
        Case({"rows.npz": numpy_archive(arrays), "ids.tsv": ids.encode()}, {}),
        kept._replace(files={"kept.npz": _kept_neighbours()}),
    ]


MODALITY = Modality(np.eye(8, dtype=np.float32)[:, :5] + 1, np.arange(8) != 7)


def _kept_neighbours() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        cached_neighbours(MODALITY, 2, Path(folder))
        (path,) = Path(folder).iterdir()
        return path.read_bytes()


def read_lists(folder: Path, _: dict[str, Json]) -> object:
    """Read neighbours."""
    kept = folder / "kept.npz"
    if kept.exists():
        kept.rename(folder / f"{neighbours_key(MODALITY, 2)}.npz")
        return cached_neighbours(MODALITY, 2, folder)
    ids = folder / "ids.tsv"
    given = ids if ids.exists() else None
    return read_neighbours(folder / "rows.npz", "text", ITEMS, ids=given)


def pictures() -> list[Case]:
    """Pictures in every format that is installed."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 255, (12, 14, 3), dtype=np.uint8))
    cases = []
    for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "avif", "dds", "tga", "ppm", "ico"):
        buffer = io.BytesIO()
        try:
            pixels.save(buffer, kind)
        except (KeyError, OSError, ValueError):  # this Pillow cannot write it
            continue
        cases.append(Case({f"content.{kind}": buffer.getvalue()}, {}))
    deep = Image.fromarray(rng.integers(0, 60000, (12, 14), dtype=np.uint16))
    for picture, kind in (
        (pixels.convert("P"), "png"),
        (pixels.convert("RGBA"), "png"),
        (pixels.convert("CMYK"), "tiff"),
        (deep, "png"),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        cases.append(Case({f"content.{kind}": buffer.getvalue()}, {}))
    return cases


def decode_picture(folder: Path, _: dict[str, Json]) -> object:
    """Decode a picture."""
    (path,) = folder.iterdir()
    return read_picture(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), 10**6)


def sounds() -> list[Case]:
    """Sounds in several formats."""
    tone = [int(9000 * math.sin(position / 5)) for position in range(800)]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.array(tone, dtype="<i2").tobytes())
    cases = [Case({"content.wav": buffer.getvalue()}, {})]
    import librosa
    import soundfile

    librosa.resample(np.zeros(800, dtype=np.float32), orig_sr=8000, target_sr=4000)  # loads much
    for kind in ("flac", "ogg", "mp3", "aiff"):
        encoded = io.BytesIO()
        soundfile.write(encoded, np.array(tone) / 32768, 8000, format=kind)
        cases.append(Case({f"content.{kind}": encoded.getvalue()}, {}))
    return cases


def decode_sound(folder: Path, _: dict[str, Json]) -> object:
    """Decode a sound."""
    (path,) = folder.iterdir()
    return read_sound(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), 8000, 1.0)
