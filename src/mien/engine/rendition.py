"""Render photos as JPEGs for programs that cannot show their format, as browsers cannot show HEIC and TIFF."""

from __future__ import annotations

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from mien.engine.decode import admitted_photo
from mien.engine.limits import Limits

QUALITY = 88


def render(image: bytes, long_side: int, limits: Limits = Limits()) -> bytes:  # noqa: B008 (frozen)
    """Render a photo as an upright JPEG without metadata.

    Args:
        image: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP or ICO file.
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
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), QUALITY, "RGB")
    return encoded
