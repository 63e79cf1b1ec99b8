import contextlib
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs graphrec[encoders]")

from PIL import Image, ImageOps

from graphrec.features.content.networks import UnreadableError
from graphrec.features.image.pictures import read_picture

LIMIT = 50_000_000


def read(path: Path, max_pixels: int = LIMIT) -> np.ndarray:
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    picture = read_picture(str(path), key, max_pixels)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def flat(colour: tuple[int, ...], mode: str, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new(mode, size, colour)


def test_rgb_is_left_as_it_is(tmp_path):
    flat((10, 20, 30), "RGB").save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == (10, 20, 30)).all()


def test_cmyk_becomes_rgb(tmp_path):
    flat((0, 255, 255, 0), "CMYK").save(tmp_path / "a.tiff")
    assert (read(tmp_path / "a.tiff") == (255, 0, 0)).all()


def test_a_palette_becomes_its_colours(tmp_path):
    flat((0, 0, 255), "RGB").quantize(4).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == (0, 0, 255)).all()


def test_grey_becomes_three_equal_channels(tmp_path):
    flat((77,), "L").save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == 77).all()


def test_black_and_white_becomes_0_and_255(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, :, 0].tolist() == [255, 0]


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white(tmp_path, mode):
    flat((0,) * len(mode), mode).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == 255).all()


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [flat(colour, "RGB") for colour in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif") == (255, 0, 0)).all()


def test_a_picture_is_turned_as_its_exif_data_say(tmp_path):
    picture = flat((0, 0, 0), "RGB", (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg").shape == (6, 4, 3)


def test_one_pixel_is_a_picture(tmp_path):
    flat((1, 2, 3), "RGB", (1, 1)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (1, 1, 3)


def test_a_text_file_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    with pytest.raises(UnreadableError, match="not a picture of a known format"):
        read(tmp_path / "a.jpg")


def test_a_picture_cut_short_is_damaged(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableError, match=r"damaged: .*truncated"):
        read(tmp_path / "a.jpg")


def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path):
    flat((0,), "1", (3000, 2000)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 5000
    with pytest.raises(UnreadableError, match="too large: 3000 x 2000, more than 1,000,000 pix"):
        read(tmp_path / "a.png", max_pixels=1_000_000)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    flat((0,), "1", (20_000, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match="too large"):
        read(tmp_path / "a.png")


def test_a_thin_line_is_refused(tmp_path):
    flat((0,), "L", (1000, 2)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match="too thin: 1000 x 2"):
        read(tmp_path / "a.png")


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(UnreadableError, match="32-bit floats"):
        read(tmp_path / "a.tiff")


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path):
    flat((0, 0, 0), "RGB").save(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match="changed while it was encoded"):
        read_picture(str(tmp_path / "a.png"), "0" * 64, LIMIT)


RAISED = [
    RuntimeError("Conversion from YUV failed"),
    SystemError("error return without exception set"),
    MemoryError(),
    NotImplementedError("Unimplemented DXGI format"),
    struct.error("unpack requires a buffer of 4 bytes"),
    UserWarning("Corrupt EXIF data"),
    Image.DecompressionBombWarning("Image size exceeds limit"),
    KeyError("ImageWidth"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_decoder_raises_is_damage_of_that_file(tmp_path, monkeypatch, error):
    """One AVIF whose decoder raised RuntimeError ended an encoding of all items."""
    flat((0, 0, 0), "RGB").save(tmp_path / "a.png")

    def broken(_: Image.Image) -> None:
        raise error

    monkeypatch.setattr(ImageOps, "exif_transpose", broken)
    with pytest.raises(UnreadableError, match=r"damaged|too large"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["avif", "dds", "tiff", "gif", "webp", "jp2", "bmp", "ico"])
def test_a_file_damaged_in_any_place_is_read_or_unreadable(tmp_path, suffix):
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    try:
        Image.fromarray(noise).save(path)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    for trial in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 400), 1 + trial % 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: len(damaged) - trial % 5 * len(damaged) // 6])
        with contextlib.suppress(UnreadableError):
            read(path)
