"""Texts and pictures of one CLIP-like model lie in one space."""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image

from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder
from tests.features import tiny


def test_cosines_across_the_two_modalities_are_those_of_the_model(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoProcessor, AutoTokenizer

    folder = tiny.save_clip(tmp_path / "clip")
    texts = ["red ball", "blue car", "a b c"]
    paths = [tiny.picture(tmp_path / f"{number}.png", seed=number) for number in range(3)]
    ids = pl.Series(["0", "1", "2"])
    common = {"encoder": f"local:{folder}", "store": tmp_path / "store", "normalize": "l2"}
    text = TextEncoder(TextConfig(text="t", **common)).encode(pl.DataFrame({"t": texts}), ids)
    image = ImageEncoder(ImageConfig(images=f"{tmp_path}/{{item}}.png", **common)).encode(None, ids)

    model = AutoModel.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    looks = AutoProcessor.from_pretrained(folder)
    looks = getattr(looks, "image_processor", looks)
    pixels = looks(images=[Image.open(path) for path in paths], return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            pixel_values=pixels["pixel_values"],
        )
    expected = (output.logits_per_text / model.logit_scale.exp()).detach()
    np.testing.assert_allclose(text.values @ image.values.T, expected, atol=1e-5)
    assert np.ptp(expected.numpy()) > 1e-3
