from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

pytest.importorskip("av", reason="needs graphrec[encoders]")
pytest.importorskip("PIL", reason="needs graphrec[encoders]")

from PIL import Image

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.image.config import ImageConfig
from graphrec.features.image.encoder import ImageEncoder
from graphrec.features.image.pose import keypoints
from graphrec.features.video.config import VideoConfig
from graphrec.features.video.encoder import VideoEncoder
from tests.features import tiny

SIZES = {"i0": (40, 80), "i1": (60, 20), "i2": (24, 24)}
KEYPOINTS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_vitpose(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed, (name, size) in enumerate(SIZES.items()):
        tiny.picture(tmp_path / "pictures" / f"{name}.png", seed=seed, size=size)
    return tmp_path / "pictures"


def encode(pictures: Path, folder: Path, **settings: object) -> EncodedModality:
    table = {"images": f"{pictures}/{{item}}.png", "store": pictures.parent / "store", **settings}
    config = ImageConfig(encoder=f"local:{folder}", **table)
    return ImageEncoder(config).encode(None, pl.Series(list(SIZES)))


def encode_clips(clips: Path, folder: Path, ids: list[str], **settings: object) -> EncodedModality:
    table = {"video": f"{clips}/{{item}}.mkv", "store": clips.parent / "store", **settings}
    config = VideoConfig(encoder=f"local:{folder}", **table)
    return VideoEncoder(config).encode(None, pl.Series(ids))


def warmest(heat: np.ndarray) -> tuple[float, float]:
    """The place in pixels, literally."""
    y, x = divmod(int(heat.argmax()), heat.shape[1])
    right, down = float(x), float(y)
    if 0 < x < heat.shape[1] - 1:
        right += 0.25 * np.sign(heat[y, x + 1] - heat[y, x - 1])
    if 0 < y < heat.shape[0] - 1:
        down += 0.25 * np.sign(heat[y + 1, x] - heat[y - 1, x])
    return right, down


def heats(folder: Path, picture: Image.Image) -> np.ndarray:
    """Heatmaps of a picture by the real processor and model."""
    from transformers import AutoImageProcessor, VitPoseForPoseEstimation

    processor = AutoImageProcessor.from_pretrained(folder)
    boxes = [[[0.0, 0.0, *map(float, picture.size)]]]
    inputs = processor(images=picture, boxes=boxes, return_tensors="pt")
    with torch.no_grad():
        return VitPoseForPoseEstimation.from_pretrained(folder)(**inputs).heatmaps[0].numpy()


def expected_row(folder: Path, picture: Image.Image) -> np.ndarray:
    """Keypoints as shares of the picture, one at a time."""
    width, height = picture.size
    row: list[float] = []
    for heat in heats(folder, picture):
        x, y = warmest(heat)
        # The box is the picture, widened or heightened to 1 : 2, and then by a quarter.
        wide, high = 1.25 * max(width, height / 2), 1.25 * max(height, width * 2)
        across = x / (heat.shape[1] - 1) * wide + width / 2 - wide / 2
        down = y / (heat.shape[0] - 1) * high + height / 2 - high / 2
        row += [across / width, down / height, float(heat.max())]
    return np.array(row)


# --- keypoints of heatmaps ---


def test_the_place_is_a_quarter_towards_the_warmer_neighbour():
    heatmaps = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    heatmaps[0, 0, 0, 0] = heatmaps[0, 1, 5, 4] = heatmaps[0, 2, 2, 4] = 9.0  # at the border
    heatmaps[1, 0] = 0.0  # no place is warmer: the first one
    places, scores = keypoints(heatmaps)
    for clip, (where, heat) in enumerate(zip(places, scores, strict=True)):
        for number in range(4):
            x, y = warmest(heatmaps[clip, number].numpy())
            np.testing.assert_allclose(where[number], [x / 4, y / 5], atol=1e-6)
            assert heat[number] == heatmaps[clip, number].max()


def test_a_heatmap_of_one_pixel_has_its_place_at_the_start():
    places, _ = keypoints(torch.ones(1, 1, 1, 1))
    assert places.tolist() == [[[0, 0]]]


def test_places_agree_with_those_of_the_processor(folder):
    from transformers import AutoImageProcessor

    rng = np.random.default_rng(0)
    centres = rng.uniform((2, 2), (9, 13), (KEYPOINTS, 2))  # x, y in a heatmap of 16 x 12
    rows, columns = np.mgrid[:16, :12]
    heat = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in centres]
    heatmaps = torch.tensor(np.array(heat), dtype=torch.float32)[None]
    processor = AutoImageProcessor.from_pretrained(folder)
    found = processor.post_process_pose_estimation(
        SimpleNamespace(heatmaps=heatmaps), boxes=[[[0.0, 0.0, 50.0, 100.0]]]
    )[0][0]
    places, scores = keypoints(heatmaps)
    shares = (places[0].numpy() - 0.5) * 1.25 + 0.5
    # The processor fits a peak; a quarter of a pixel comes that near to it.
    np.testing.assert_allclose(
        shares * [50, 100], found["keypoints"], atol=0.3 * 1.25 * max(50 / 11, 100 / 15)
    )
    np.testing.assert_allclose(scores[0], found["scores"])


# --- pictures ---


def test_a_picture_gives_place_and_score_of_each_keypoint(pictures, folder):
    found = encode(pictures, folder, batch_size=2).values
    assert found.shape == (3, KEYPOINTS * 3)
    for name, row in zip(SIZES, found, strict=True):
        expected = expected_row(folder, Image.open(pictures / f"{name}.png"))
        assert np.ptp(expected[0::3]) > 0.1
        assert np.ptp(expected[1::3]) > 0.1
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_a_model_with_experts_uses_the_first(pictures, tmp_path):
    folder = tiny.save_vitpose(tmp_path / "experts", num_experts=2)
    assert np.isfinite(encode(pictures, folder).values).all()


def test_the_identity_says_how_keypoints_are_read(folder):
    config = ImageConfig(encoder=f"local:{folder}", images="{item}.png")
    found = ImageEncoder(config).identity()
    assert {"keypoints", "padding", "weights_sha256", "versions"} <= found.keys()


# --- videos ---


def test_a_video_gives_mean_and_deviation_over_its_frames(tmp_path, folder):
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 16, 3), dtype=np.uint8)
    noise = np.kron(noise[:, ::8, ::8], np.ones((1, 8, 8, 1), np.uint8))
    tiny.video(tmp_path / "v" / "a.mkv", list(noise), codec="ffv1", size=(16, 32), pixels="bgr0")
    tiny.video(
        tmp_path / "v" / "b.mkv", list(noise[:1]), codec="ffv1", size=(16, 32), pixels="bgr0"
    )
    found = encode_clips(tmp_path / "v", folder, ["a", "b"], frames=4).values
    frames = np.array([expected_row(folder, Image.fromarray(frame)) for frame in noise])
    assert frames.std(axis=0).max() > 0.1
    expected = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[1], [*frames[0], *np.zeros(KEYPOINTS * 3)], atol=1e-3)


# --- settings and bad folders ---


@pytest.mark.parametrize("setting", [{"layer": 1}, {"pooling": "cls"}])
def test_settings_of_vectors_are_refused(folder, setting):
    config = ImageConfig(encoder=f"local:{folder}", images="{item}.png", **setting)
    with pytest.raises(ConfigError, match="finds keypoints, not vectors: remove layer and pooling"):
        ImageEncoder(config)


def test_another_frame_pooling_of_poses_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"frame_pooling = 'max': local:.* finds poses"):
        encode_clips(tmp_path, folder, ["a"], frame_pooling="max")


@pytest.mark.parametrize("settings", [{"frame_pooling": "attention"}, {"fine_tune": "all"}])
def test_poses_are_not_trained(tmp_path, folder, settings):
    with pytest.raises(ConfigError, match=r"local:.* finds keypoints, and nothing is trained"):
        encode_clips(tmp_path, folder, ["a"], **settings)


def test_random_weights_are_not_for_folders(folder):
    with pytest.raises(ValidationError, match="weights is for torchvision: encoders"):
        VideoConfig(encoder=f"local:{folder}", video="{item}.mkv", weights="random")


def test_a_folder_without_processor_is_named(pictures, tmp_path):
    folder = tiny.save_vitpose(tmp_path / "broken")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(DataError, match="broken holds no vision model with its image processor"):
        encode(pictures, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match="broken holds no vision model with its image processor"):
        encode(pictures, folder)
