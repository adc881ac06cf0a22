"""Image bytes -> an upright Pillow image, read by the engine's own decoder and under its limits."""

from __future__ import annotations

from PIL import Image

from mien.engine.decode import open_photo


def open_upright(image: bytes, long_side: int | None = None) -> Image.Image:
    """The photo in RGB, EXIF applied; `long_side`: not much larger than needed for so many pixels.

    Raises ImageError leaves.
    """
    photo = open_photo(image)
    return Image.fromarray(photo.pixels(long_side or max(photo.width, photo.height)))
