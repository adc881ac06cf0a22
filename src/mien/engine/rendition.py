"""Render photos, and faces cut out of them, as JPEGs to be shown: browsers cannot show HEIC and TIFF."""

from __future__ import annotations

import io

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

from mien.domain.faces import Box
from mien.engine.decode import admitted_photo
from mien.engine.limits import Limits

PHOTO_QUALITY, FACE_QUALITY = 88, 85


def render(image: bytes, long_side: int, limits: Limits = Limits()) -> bytes:  # noqa: B008 (frozen)
    """Render a photo as an upright JPEG without metadata.

    Args:
        image: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP file.
        long_side: pixels that the longer side has at most.
        limits: which images are accepted.

    Raises:
        ImageError: as `open_photo` and `Photo.pixels`.
        Overloaded: other photos are worked on for too long.
    """
    import cv2

    with admitted_photo(image, limits) as photo:
        pixels = photo.pixels(long_side)
    scale = long_side / max(pixels.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), PHOTO_QUALITY, "RGB")
    return encoded


def face_image(image: bytes, box: Box, side: int) -> bytes:
    """Return the square around a face as a JPEG.

    Args:
        image: the image file that shows the face.
        box: the face, in fractions of the upright photo.
        side: the side of the result in pixels; a smaller face is not enlarged.

    Raises ImageError for a photo that cannot be decoded any more.
    """
    with admitted_photo(image) as photo:
        _, _, extent = box.square(photo.width, photo.height)
        long_side = max(photo.width, photo.height)
        pixels = photo.pixels(min(long_side, round(side / extent * long_side) + 1))
    decoded = Image.fromarray(pixels)
    left, top, extent = box.square(*decoded.size)
    face = decoded.crop((round(left), round(top), round(left + extent), round(top + extent)))
    face.thumbnail((side, side))
    file = io.BytesIO()
    face.save(file, "JPEG", quality=FACE_QUALITY)
    return file.getvalue()
