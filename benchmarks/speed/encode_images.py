"""Pictures per second beside a plain loop over torchvision: one JSON line.

The same random ResNet-18 at its penultimate layer, batches of 32, float32, the same generated
JPEG files of 500 x 375. graphrec's time includes hashing every file twice (to find it, and to see
that it did not change) and writing the store.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.image.torchvision_shim import import_torchvision

BATCH = 32


def main() -> None:
    """Time both in turn, several times, and compare the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import_torchvision()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = draw(folder, options.pictures)
        weights = folder / "weights.pth"
        from torchvision.models import resnet18

        torch.manual_seed(0)
        torch.save(resnet18(weights=None).state_dict(), weights)
        ratios = []
        for number in range(options.rounds + 1):  # the first round warms up
            started = time.perf_counter()
            theirs = plain_loop(paths, weights)
            between = time.perf_counter()
            ours = graphrec(folder, len(paths), weights, number)
            ended = time.perf_counter()
            ratios.append((between - started) / (ended - between))
    result = {
        "peer": "a plain loop over torchvision",
        "ratios": [round(ratio, 3) for ratio in ratios[1:]],
        "median": round(statistics.median(ratios[1:]), 3),
        "largest_difference": float(np.abs(theirs - ours).max()),
        "largest_value": float(np.abs(theirs).max()),
    }
    print(json.dumps({**result, **vars(options)}))


def draw(folder: Path, count: int) -> list[Path]:
    """Smooth random pictures: noise alone would make decoding unusually slow."""
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def plain_loop(paths: list[Path], weights: Path) -> np.ndarray:
    """Decode, transform, stack and run, batch after batch."""
    from PIL import Image
    from torchvision.models import ResNet18_Weights, resnet18

    transform = ResNet18_Weights.DEFAULT.transforms()
    network = resnet18(weights=None)
    network.load_state_dict(torch.load(weights))
    network.fc = torch.nn.Identity()
    network.eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            pictures = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            rows.append(network(torch.stack([transform(each) for each in pictures])).numpy())
    return np.concatenate(rows)


def graphrec(folder: Path, count: int, weights: Path, number: int) -> np.ndarray:
    """Encode into an empty store."""
    config = ImageConfig(
        encoder="torchvision:resnet18",
        images=f"{folder}/{{item}}.jpg",
        weights=str(weights),
        store=folder / f"store-{number}",
        device="cpu",
        batch_size=BATCH,
    )
    ids = pl.Series([str(each) for each in range(count)])
    return ImageEncoder(config).encode(None, ids).values


if __name__ == "__main__":
    main()
