"""Cut a face out of a photo, with some surroundings, so that it can be shown, detected and embedded again."""

from __future__ import annotations

import cv2
import numpy as np

from mien.domain.faces import Box
from mien.engine.context import Floats, Pixels

MARGIN = 0.5
"""Surroundings on each side, as a share of the face's longer side: less, and the detector misses some faces."""

MAX_FACE_SIDE = 256
"""Pixels of the face's longer side; the landmarks of larger ones are no better."""

JPEG_QUALITY = 92


def cut_portrait(pixels: Pixels, box: Floats) -> tuple[bytes, Box]:
    """Cut out a face and encode it.

    Args:
        pixels: the upright photo, RGB (height, width, 3).
        box: (4,) left, top, width, height in these pixels.

    Returns:
        A JPEG, and the face's box in fractions of it.
    """
    height, width = pixels.shape[:2]
    size = float(max(box[2:]))
    corners = np.array([box[:2] - MARGIN * size, box[:2] + box[2:] + MARGIN * size])
    (left, top), (right, bottom) = np.clip(corners, 0, [width, height]).round().astype(int).tolist()
    region = pixels[top:bottom, left:right]
    scale = min(1.0, MAX_FACE_SIDE / size)
    if scale < 1:
        region = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    encoded = cv2.imencode(".jpg", region[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    across, down = right - left, bottom - top
    x, y, wide, high = box.tolist()
    return encoded.tobytes(), Box((x - left) / across, (y - top) / down, wide / across, high / down)
