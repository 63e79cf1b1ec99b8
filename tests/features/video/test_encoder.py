import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

pytest.importorskip("av", reason="needs graphrec[encoders]")
pytest.importorskip("PIL", reason="needs graphrec[encoders]")

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.rng import torch_stream
from graphrec.features.content.networks import UnreadableError
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.content.rows import TrainableRows
from graphrec.features.content.weights import file_sha256
from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.image.networks import over_positions
from graphrec.features.video.clips import read_frames
from graphrec.features.video.config import VideoConfig
from graphrec.features.video.encoder import VideoEncoder
from graphrec.features.video.temporal_attention import TemporalAttention
from tests.features import tiny

CLIPS = {"i0": [(250, 0, 0), (0, 250, 0)], "i1": [(0, 0, 250)], "i2": [(250, 250, 0)] * 5}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name, frames in CLIPS.items():
        tiny.video(tmp_path / "clips" / f"{name}.mp4", frames)
    return tmp_path / "clips"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local:{tiny.save_vit(tmp_path_factory.mktemp('vit'))}"


def encoder(clips: Path, **settings: object) -> VideoEncoder:
    table = {"video": f"{clips}/{{item}}.mp4", "store": clips.parent / "store", **settings}
    return VideoEncoder(VideoConfig(**table))


def encode(clips: Path, ids: tuple[str, ...] = tuple(CLIPS), **settings: object) -> EncodedModality:
    return encoder(clips, **settings).encode(None, pl.Series(ids))


def frames_of(clips: Path, name: str, count: int) -> list:
    path = clips / f"{name}.mp4"
    return read_frames(str(path), sha256(path), count, 10**7)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_of_frames(clips: Path, count: int, **settings: object) -> np.ndarray:
    """The rows ``[clips, T, F]`` that the image encoder gives for the frames as picture files."""
    ids = []
    for name in CLIPS:
        for number, frame in enumerate(frames_of(clips, name, count)):
            ids.append(f"{name}-{number}")
            frame.save(clips / f"{ids[-1]}.png")
    table = {"images": f"{clips}/{{item}}.png", "store": clips.parent / "pictures", **settings}
    found = ImageEncoder(ImageConfig(**table)).encode(None, pl.Series(ids)).values
    return found.reshape(len(CLIPS), count, -1)


# --- frame by frame ---


def test_frames_go_through_the_image_network_and_are_pooled(clips, vit):
    expected = rows_of_frames(clips, 3, encoder=vit)
    assert np.ptp(expected, axis=1).max() > 0.1
    for pooling, rows in (("mean", expected.mean(axis=1)), ("max", expected.max(axis=1))):
        found = encode(clips, encoder=vit, frames=3, frame_pooling=pooling)
        np.testing.assert_allclose(found.values, rows, atol=1e-5)


def test_an_image_network_of_torchvision_sees_frames(clips):
    settings = {"encoder": "torchvision:resnet18", "weights": "random", "layer": "layer1"}
    expected = rows_of_frames(clips, 2, **settings).mean(axis=1)
    assert expected.std() > 0.01
    found = encode(clips, **settings, frames=2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-3)


def test_a_clip_model_sees_frames(clips):
    clip = tiny.save_clip(clips.parent / "clip")
    assert encode(clips, encoder=f"local:{clip}", frames=2).values.shape == (3, 6)


def test_rows_do_not_depend_on_the_batch(clips, vit):
    first = encode(clips, encoder=vit, frames=5)
    store = clips.parent / "other"
    again = encode(clips, encoder=vit, frames=5, batch_size=2, workers=1, store=store)
    assert again.report.encoded == 3
    np.testing.assert_allclose(first.values, again.values, atol=1e-5)


def test_another_frame_pooling_encodes_nothing_anew(clips, vit):
    encode(clips, encoder=vit)
    for pooling in ("max", "attention"):
        report = encode(clips, encoder=vit, frame_pooling=pooling).report
        assert (report.encoded, report.reused) == (0, 3)
    assert encode(clips, encoder=vit, frames=4).report.encoded == 3


def test_pooled_rows_are_those_that_are_counted(clips, vit):
    (clips / "i3.mp4").write_bytes((clips / "i1.mp4").read_bytes())
    report = encode(clips, ("i0", "i1", "i3"), encoder=vit, frames=2).report
    assert (report.encoded, report.duplicates, report.zero, report.nan) == (2, 1, 0, 0)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_a_frame_that_is_not_finite_makes_the_row_so(clips, vit, pooling):
    found = encoder(clips, encoder=vit, frames=2, frame_pooling=pooling)
    rows = np.array([[1, 2, -np.inf, 5], [1, 2, 3, 4]], np.float32)
    with np.errstate(invalid="ignore"):
        assert np.isfinite(found.pooled(rows)).all(axis=1).tolist() == [False, True]


# --- attention ---


def test_attention_is_the_weighted_sum_of_frames():
    attention = TemporalAttention(3, torch_stream(0, "test"))
    with torch.no_grad():
        attention.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    frames = torch.randn(2, 4, 3, generator=torch_stream(1, "test"))
    weight, bias = attention.transform.detach().numpy(), attention.bias.detach().numpy()
    query = attention.query.detach().numpy()[:, 0]
    for clip, found in zip(frames.numpy(), attention(frames).detach().numpy(), strict=True):
        energy = np.array([query @ np.tanh(frame @ weight + bias) for frame in clip])
        shares = np.exp(energy) / np.exp(energy).sum()
        assert shares.std() > 0.01
        expected = sum(share * frame for share, frame in zip(shares, clip, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_attention_learns_which_frame_counts():
    attention = TemporalAttention(2, torch_stream(0, "test"))
    frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    optimiser = torch.optim.Adam(attention.parameters(), lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        loss = (attention(frames) - frames[:, 1]).square().sum()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.01


def test_the_network_of_attention_reads_stored_frames(clips, vit):
    settings = {"encoder": vit, "frames": 3, "frame_pooling": "attention"}
    with pytest.raises(DataError, match=r"holds no frames yet\. Encode the videos first"):
        encoder(clips, **settings).network()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = encode(clips, **settings)
    network = encoder(clips, **settings).network()
    assert torch.equal(torch.get_rng_state(), state)
    keys = [sha256(clips / f"{name}.mp4") for name in CLIPS]
    prepared = [network.prepare("", key) for key in keys]
    expected = rows_of_frames(clips, 3, encoder=vit)
    np.testing.assert_allclose(torch.stack(prepared).numpy(), expected, atol=1e-5)
    with torch.no_grad():
        rows = network.module(*network.collate(prepared)).numpy()
    np.testing.assert_allclose(rows, found.values, atol=1e-6)
    with pytest.raises(UnreadableError, match="not encoded"):
        network.prepare("", "0" * 64)


# --- networks of whole clips ---


def test_attention_is_trained_with_the_recommender_over_stored_frames(clips, vit):
    found = encode(clips, encoder=vit, frames=3, frame_pooling="attention")
    rows = found.rows()
    assert isinstance(rows, TrainableRows)
    with rows.live(torch.arange(len(CLIPS))):
        np.testing.assert_allclose(rows().detach(), found.values, atol=1e-6)
        rows().square().sum().backward()
    assert sorted(name.rpartition(".")[2] for name, _ in rows.named_parameters()) == [
        *("bias", "query", "transform")
    ]
    assert all(weight.grad.any() for weight in rows.parameters())


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_an_image_network_is_trained_through_pooled_frames(clips, vit, pooling):
    found = encode(clips, encoder=vit, frames=3, frame_pooling=pooling, fine_tune="last:1")
    rows = found.rows()
    with rows.live(torch.arange(len(CLIPS))):
        np.testing.assert_allclose(rows().detach(), found.values, atol=1e-5)
        rows().square().sum().backward()
    assert any(weight.grad.any() for weight in rows.parameters())


def test_attention_without_training_is_refused(clips, vit):
    with pytest.raises(ValidationError, match="'attention' is trained as a whole"):
        encode(clips, encoder=vit, frame_pooling="attention", fine_tune="none")


def test_a_video_network_sees_the_whole_clip(clips):
    from torchvision.models.video import R3D_18_Weights, r3d_18
    from torchvision.transforms.functional import pil_to_tensor

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = r3d_18(weights=None).eval()
    path = clips.parent / "weights.pth"
    torch.save(network.state_dict(), path)
    transform = R3D_18_Weights.DEFAULT.transforms()
    tensors = [torch.stack(list(map(pil_to_tensor, frames_of(clips, i, 2)))) for i in CLIPS]
    pixels = torch.stack([transform(clip) for clip in tensors])  # [b, C, T, H, W]
    assert pixels.shape == (3, 3, 2, 112, 112)
    with torch.no_grad():
        maps = network.layer2(network.layer1(network.stem(pixels)))
        rows = network.layer4(network.layer3(maps)).mean(dim=(2, 3, 4)).numpy()
    settings = {"encoder": "torchvision:r3d_18", "weights": str(path), "frames": 2}
    found = encode(clips, **settings).values
    assert found.std() > 0.1
    np.testing.assert_allclose(found, rows, rtol=1e-3, atol=1e-5)


def test_a_layer_with_positions_in_time_is_averaged_over_them():
    values = torch.randn(2, 3, 4, 5, 6, generator=torch_stream(0, "test"))
    np.testing.assert_allclose(over_positions(values), values.mean(dim=(2, 3, 4)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "frames", "width"),
    [
        pytest.param("mvit_v2_s", 16, 768, marks=pytest.mark.slow),
        ("swin3d_t", 3, 768),
        ("r2plus1d_18", 1, 512),
        ("mc3_18", 1, 512),
    ],
)
def test_every_family_of_video_networks_gives_rows(clips, name, frames, width):
    settings = {"encoder": f"torchvision:{name}", "weights": "random", "frames": frames}
    assert encode(clips, ("i0",), **settings).values.shape == (1, width)


def test_a_video_network_without_linear_layer_needs_a_layer(clips):
    settings = {"encoder": "torchvision:s3d", "weights": "random", "frames": 14}
    with pytest.raises(ConfigError, match="ends in no linear layer: set layer, for example to"):
        encode(clips, ("i0",), **settings)
    assert encode(clips, ("i0",), **settings, layer="avgpool").values.shape == (1, 1024)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "torchvision:r3d18"}, r"no video model 'r3d18'\. Did you mean 'r3d_18'"),
        ({"encoder": "torchvision:resnet"}, r"Any image model of torchvision can look at each"),
        ({"encoder": "torchvision:mvit_v1_b"}, r"frames = 8, but mvit_v1_b .* exactly 16\. Set"),
        ({"encoder": "torchvision:mvit_v2_s", "frames": 32}, r"mvit_v2_s looks at exactly 16"),
        ({"encoder": "torchvision:s3d"}, r"frames = 8, but s3d looks at at least 14"),
        ({"encoder": "torchvision:r3d_18", "frame_pooling": "max"}, "r3d_18 gives one row per vid"),
        ({"encoder": "torchvision:r3d_18", "weights": "K"}, "r3d_18 has KINETICS400_V1, default"),
    ],
)
def test_a_video_network_that_cannot_be_is_named(clips, settings, message):
    with pytest.raises(ConfigError, match=message):
        encoder(clips, **settings)


def test_a_video_network_is_no_image_network():
    config = ImageConfig(encoder="torchvision:r3d_18", images="{item}.png")
    with pytest.raises(ConfigError, match=r"no image model 'r3d_18'.* Video models need video ="):
        ImageEncoder(config)


def test_without_network_the_error_says_which_file_to_put_where(clips, monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(clips.parent))
    with pytest.raises(DataError, match=r"checkpoints/r3d_18-\w+\.pth does not exist .*Fetch http"):
        encode(clips, encoder="torchvision:r3d_18", allow_download=True)


# --- content ---


def test_deleting_one_clip_encodes_nothing_else(clips, vit):
    first = encode(clips, encoder=vit)
    (clips / "i1.mp4").unlink()
    again = encode(clips, encoder=vit)
    assert (again.report.encoded, again.report.reused) == (0, 2)
    assert again.report.missing == {"i1": "no file"}
    assert (again.values[[0, 2]] == first.values[[0, 2]]).all()


def test_bad_clips_are_missing_each_with_its_reason(clips, vit):
    (clips / "empty.mp4").write_bytes(b"")
    (clips / "text.mp4").write_text("no video")
    tiny.sound(clips / "sound.wav").rename(clips / "sound.mp4")
    tiny.video(clips / "large.mp4", [0], size=(64, 64))
    (clips / "short.mp4").write_bytes((clips / "i0.mp4").read_bytes()[:700])
    tiny.video(clips / "nobody.mp4", [0])
    ids = ("i0", "empty", "text", "sound", "large", "short", "none", "i1")
    found = encode(clips, ids, encoder=vit, max_pixels=2000)
    assert found.present.tolist() == [True, *[False] * 6, True]
    assert found.report.missing == {
        "empty": "empty file",
        "text": "not a video of a known format, or cut short",
        "sound": "no picture stream",
        "large": "too large: 64 x 64, more than 2,000 pixels",
        "short": "not a video of a known format, or cut short",
        "none": "no file",
    }
    assert found.report.unused == 2  # i2 and nobody
    with pytest.raises(DataError, match=r"items have no video \('empty': empty file"):
        encode(clips, ids, encoder=vit, strict=True)


def test_a_missing_folder_is_named(clips, vit):
    with pytest.raises(DataError, match=r"folder .*nowhere of '.*' does not exist"):
        encode(clips / "nowhere", encoder=vit)


def test_the_identity_names_all_that_a_row_depends_on(clips, vit):
    found = encoder(clips, encoder=vit, frames=3, frame_pooling="max").identity()
    assert found["frames"] == 3
    assert found["reader"].keys() == {"av"}
    assert found["versions"].keys() >= {"torch", "torchvision", "transformers"}
    assert "frame_pooling" not in found
    assert {"sampling", "decoding", "weights_sha256", "layer", "pooling"} <= found.keys()
    path = clips.parent / "weights.pth"
    path.write_bytes(b"anything")
    r3d = {"encoder": "torchvision:r3d_18", "weights": str(path)}
    assert encoder(clips, **r3d).identity()["weights_sha256"] == file_sha256([path])
    r3d["weights"] = "random"
    identities = [encoder(clips, **r3d, seed=seed).identity() for seed in (0, 1)]
    assert identities[0] != identities[1]
    assert "crop_size=[112, 112]" in identities[0]["preprocessing"]


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"video": "clips"}, r"must say where the item comes in"),
        ({"frames": 0}, "greater than 0"),
        ({"frame_pooling": "sum"}, "'mean', 'max' or 'attention'"),
        ({"weights": "random"}, "weights is for torchvision: encoders"),
        ({"seed": 1}, "seed is for torchvision: encoders"),
        ({"encoder": "torchvision:r3d_18", "pooling": "cls"}, "pooling is not for torchvision:r3d"),
        ({"encoder": "torchvision:r3d_18", "layer": 3}, "is the name of a node"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        VideoConfig(**{"encoder": "hf:x", "video": "{item}.mp4", **settings})
