"""Decode a picture file into upright RGB pixels, or explain why it cannot be decoded."""

from typing import TYPE_CHECKING

from graphrec.features.content.networks import UnreadableError, decoding, opened

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT = 50
"""Largest ratio of the sides. A thinner picture would become huge when its short side is scaled."""

DECODING = "first frame, EXIF orientation, 16 bit to 8, transparency on white, RGB"
"""Description of ``read_picture``; part of the identity of every image encoder."""


def read_picture(path: str, key: str, max_pixels: int) -> "Image":
    """Decode a picture of any mode (palette, grey, CMYK, 16 bit, animated) as 8-bit RGB.

    Raises:
        UnreadableError: the file is no picture, cut short, too large or too thin, or no longer the
            file whose sha256 is ``key``.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    with decoding():
        try:
            with opened(path, key) as file, Image.open(file) as picture:  # reads the header only
                require_decent_size(picture.size, max_pixels)
                return rgb(ImageOps.exif_transpose(picture))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableError(f"too large: {error}") from error
        except UnidentifiedImageError as error:
            raise UnreadableError("not a picture of a known format") from error


def require_decent_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a picture whose sides are too large or too unequal.

    Raises:
        UnreadableError: the size is out of bounds.
    """
    width, height = size
    if width * height > max_pixels:
        raise UnreadableError(f"too large: {width} x {height}, more than {max_pixels:,} pixels")
    if max(size) > MAX_ASPECT * min(size):
        raise UnreadableError(f"too thin: {width} x {height}")


def rgb(picture: "Image") -> "Image":
    """Return a picture of any mode as 8-bit RGB, on white where it is transparent.

    Raises:
        UnreadableError: its pixels are floating-point numbers.
    """
    from PIL import Image

    if picture.mode.startswith("I;16") or picture.mode == "I":
        # PIL cuts 16-bit values off at 255 instead of scaling them.
        import numpy as np

        values = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise UnreadableError("pixels are 32-bit floats, whose range is unknown")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")
