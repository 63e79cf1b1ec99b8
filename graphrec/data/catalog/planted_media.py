"""Plant pictures, captions and tones with a known answer: one modality shows each user's taste."""

import struct
import wave
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.files import write_bytes
from graphrec.core.rng import numpy_stream
from graphrec.data.catalog.toy import DAY
from graphrec.data.config import DataConfig

MediaKind = Literal["picture", "caption", "tone"]
Codes = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

FACTORS: dict[str, tuple[MediaKind, tuple[str, ...]]] = {
    "shape": ("picture", ("circle", "square", "triangle", "cross")),
    "colour": ("picture", ("red", "green", "blue", "yellow")),
    "texture": ("picture", ("plain", "striped", "checked", "dotted")),
    "topic": ("caption", ("garden", "kitchen", "travel", "music")),
    "pitch": ("tone", ("low", "middle", "high", "shrill")),
}
"""Factors in which items differ: the one modality that shows the factor, and its values."""

MEDIA: tuple[MediaKind, ...] = ("picture", "caption", "tone")
VALUES = 4
COLOURS = np.array([[210, 50, 50], [50, 170, 70], [60, 80, 210], [220, 190, 50]])
WORDS = np.array(
    [
        ["rose", "spade", "hedge", "lawn", "seed", "pond"],
        ["kettle", "pan", "whisk", "oven", "plate", "spoon"],
        ["train", "harbour", "map", "ticket", "suitcase", "bridge"],
        ["violin", "chorus", "drum", "rhythm", "piano", "song"],
    ]
)
MANNERS = np.array(["small", "large", "new", "old", "plain", "fine", "simple", "light"])
HERTZ = np.array([220.0, 440.0, 880.0, 1760.0])

SIDE = 64
"""Side of a picture in pixels."""
RATE = 16_000
"""Samples per second of a tone."""
TONE_SECONDS = 0.5
MISSING = 0.1
"""Share of the items that lack a modality, for each modality."""
ODDS = 20.0
"""Odds of an item that fits the user's taste, relative to an item that does not."""


@dataclass(frozen=True, eq=False)
class PlantedTruth:
    """The planted facts. Users and items are numbered as their ids; values count from 0.

    Attributes:
        data: settings with which ``load`` reads the files as a Dataset with item table and times.
        factors: ``{factor: value of each item [I]}``, also where the item lacks its modality.
        present: ``{modality: whether each item has it [I]}``.
        user_factor: the one factor that decides each user's choices, ``[U]``.
        user_value: the value of that factor that the user likes, ``[U]``.
        user_modality: the one modality that shows the taste of each user, ``[U]``.
    """

    data: DataConfig
    factors: dict[str, Codes]
    present: dict[MediaKind, npt.NDArray[np.bool_]]
    user_factor: npt.NDArray[np.str_]
    user_value: Codes

    @property
    def user_modality(self) -> npt.NDArray[np.str_]:
        """Return the modality of each user's factor, ``[U]``."""
        return np.array([FACTORS[factor][0] for factor in self.user_factor.tolist()])

    @property
    def fits(self) -> npt.NDArray[np.bool_]:
        """Return whether each item is to the taste of each user, ``[U, I]``."""
        names = list(self.factors)
        values = np.stack([self.factors[name] for name in names])
        rows = pl.Series(self.user_factor).replace_strict(names, range(len(names))).to_numpy()
        result: npt.NDArray[np.bool_] = values[rows] == self.user_value[:, None]
        return result


def planted_pictures(
    seed: int, num_users: int, num_items: int, folder: Path, per_user: int = 20
) -> PlantedTruth:
    """Write pictures, tones and captions; users take items that fit their factor 20 times as often.

    Each modality decides the taste of about a third of the users. An item that lacks a modality has
    its factors all the same: its users can reveal them, its content cannot. Each item has at least
    one modality. The files are ``interactions.csv``, ``items.csv``, ``pictures/*.png`` (64 x 64)
    and ``tones/*.wav`` (half a second); they depend on the arguments only.

    Raises:
        ConfigError: no users, fewer than 4 items, or ``per_user`` is not 1..num_items.
        DataError: the folder cannot be written.
    """
    if num_users < 1 or num_items < VALUES or not 1 <= per_user <= num_items:
        raise ConfigError(
            f"planted_pictures: num_users = {num_users}, num_items = {num_items} and per_user = "
            f"{per_user}; it needs at least 1 user, {VALUES} items and 1..num_items per user."
        )
    rng = numpy_stream(seed, "planted pictures")
    factors = {name: rng.permutation(num_items) % VALUES for name in FACTORS}
    present = _present(rng, num_items)
    kinds = [kind for kind, _ in FACTORS.values()]
    odds = [1 / len(MEDIA) / kinds.count(kind) for kind in kinds]
    truth = PlantedTruth(
        data=DataConfig(
            path=folder / "interactions.csv",
            time="time",
            items=folder / "items.csv",
            item_title="title",
            num_users=num_users,
            num_items=num_items,
        ),
        factors=factors,
        present=present,
        user_factor=rng.choice(list(FACTORS), num_users, p=odds),
        user_value=rng.integers(0, VALUES, num_users),
    )
    _write_items(rng, truth, folder)
    _write_interactions(rng, truth, per_user)
    return truth


def _present(rng: np.random.Generator, num_items: int) -> dict[MediaKind, npt.NDArray[np.bool_]]:
    """Remove each modality from a tenth of the items, but never all modalities of one item."""
    has = rng.random((len(MEDIA), num_items)) >= MISSING
    has[rng.integers(0, len(MEDIA), num_items), np.arange(num_items)] |= ~has.any(axis=0)
    return dict(zip(MEDIA, has, strict=True))


def _write_interactions(rng: np.random.Generator, truth: PlantedTruth, per_user: int) -> None:
    fits = truth.fits
    # The largest log p + Gumbel noise: a draw without replacement in proportion to p.
    keys = np.log(np.where(fits, ODDS, 1.0)) + rng.gumbel(size=fits.shape)
    chosen = np.argsort(-keys, axis=1)[:, :per_user]
    table = pl.DataFrame(
        {
            "user": np.repeat(np.arange(len(fits)), per_user),
            "item": chosen.ravel(),
            "time": rng.integers(0, 365, chosen.size) * DAY,
        }
    )
    assert truth.data.path is not None
    write_bytes(truth.data.path, table.write_csv().encode())


def _write_items(rng: np.random.Generator, truth: PlantedTruth, folder: Path) -> None:
    """Write the content of every item and the table that points to it."""
    num_items = len(truth.factors["shape"])
    files: dict[MediaKind, list[str | None]] = {"picture": [], "tone": []}
    for item in range(num_items):
        values = {name: int(codes[item]) for name, codes in truth.factors.items()}
        # Everything is drawn, so that a missing modality of one item changes no other item.
        contents: dict[MediaKind, tuple[str, bytes]] = {
            "picture": (f"pictures/{item}.png", png(draw(rng, values))),
            "tone": (f"tones/{item}.wav", wav(play(rng, values["pitch"]))),
        }
        for kind, (name, content) in contents.items():
            present = bool(truth.present[kind][item])
            files[kind].append(name if present else None)
            if present:
                _write(folder / name, content)
    table = pl.DataFrame(
        {
            "item": np.arange(num_items),
            "title": [f"item {item}" for item in range(num_items)],
            "caption": _captions(rng, truth.factors["topic"], truth.present["caption"]),
            "picture": files["picture"],
            "tone": files["tone"],
        }
    )
    assert truth.data.items is not None
    write_bytes(truth.data.items, table.write_csv().encode())


def _captions(rng: np.random.Generator, topics: Codes, present: npt.NDArray[np.bool_]) -> pl.Series:
    """Write two words of the topic and two empty words; null where the caption is missing."""
    words = WORDS[topics[:, None], rng.integers(0, WORDS.shape[1], (len(topics), 2))]
    manners = MANNERS[rng.integers(0, len(MANNERS), (len(topics), 2))]
    table = pl.DataFrame(np.concatenate([manners, words], axis=1), schema=["a", "b", "c", "d"])
    text = pl.format("one {} {} and one {} {}", "a", "c", "b", "d")
    return table.select(pl.when(pl.Series(present)).then(text)).to_series()


def _write(path: Path, content: bytes) -> None:
    """Write one of very many files, without the sync to disk that ``write_bytes`` does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose another "
            f"folder."
        ) from error


def draw(rng: np.random.Generator, values: Mapping[str, int]) -> Pixels:
    """Draw one figure at a random place on a pale ground. Result: ``[64, 64, 3]``."""
    radius = rng.uniform(12, 22)
    centre = rng.uniform(radius, SIDE - radius, 2)
    y, x = np.mgrid[:SIDE, :SIDE] - centre[:, None, None]
    across, down = np.abs(x), np.abs(y)
    figure = (
        np.hypot(x, y) < radius,
        np.maximum(across, down) < 0.9 * radius,
        (down < radius) & (2 * across < y + radius),
        (np.minimum(across, down) < 0.3 * radius) & (np.maximum(across, down) < radius),
    )[values["shape"]]
    dark = (
        np.zeros_like(figure),
        y // 3 % 2 == 1,
        (x // 4 + y // 4) % 2 == 1,
        np.hypot(x % 7 - 3.5, y % 7 - 3.5) < 2.4,
    )[values["texture"]]
    paint = COLOURS[values["colour"]] + rng.normal(0, 10, 3)
    shade = np.where(dark, 0.45, 1.0)[..., None]
    ground = rng.uniform(225, 245)
    pixels = np.where(figure[..., None], paint * shade, ground) + rng.normal(0, 4, (SIDE, SIDE, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def play(rng: np.random.Generator, pitch: int) -> npt.NDArray[np.int16]:
    """Synthesise one tone, a few percent sharp or flat, with noise; it swells and fades."""
    seconds = np.arange(int(RATE * TONE_SECONDS)) / RATE
    hertz = HERTZ[pitch] * rng.uniform(0.95, 1.05)
    wave_form = np.sin(2 * np.pi * (hertz * seconds + rng.random()))
    swell = np.sin(np.pi * seconds / TONE_SECONDS)
    loud = rng.uniform(0.3, 0.8)
    samples = loud * swell * wave_form + rng.normal(0, 0.02, len(seconds))
    return (samples.clip(-1, 1) * np.iinfo(np.int16).max).astype("<i2")


def png(pixels: Pixels) -> bytes:
    """Encode ``[height, width, 3]`` as a PNG, without an image library."""
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    unfiltered = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each line starts with 0
    unfiltered[:, 1:] = pixels.reshape(height, -1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def wav(samples: npt.NDArray[np.int16]) -> bytes:
    """Encode mono samples as a WAV file."""
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()
