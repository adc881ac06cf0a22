"""Photos made worse in known steps: small, blurred, compressed, dark, noisy, covered, turned away.

Pure image functions on RGB arrays (h, w, 3) of uint8; `SERIES` names them with their steps. They work on
aligned or LFW-like portraits, where the face fills the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]
"""Five landmarks (5, 2) in pixels: left eye, right eye, nose, left and right corner of the mouth."""

FACE_HEIGHT = 112
"""The face's height in an LFW photo: about 112 of 250 pixels."""


def small(image: Pixels, points: Points, face: float) -> Pixels:
    """The whole photo scaled so that the face is `face` pixels high."""
    scale = face / FACE_HEIGHT
    return _rgb(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def blurred(image: Pixels, points: Points, sigma: float) -> Pixels:
    """Gaussian blur, sigma in pixels of a face 112 high."""
    return _rgb(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def compressed(image: Pixels, points: Points, quality: float) -> Pixels:
    """JPEG of this quality, 1..100."""
    return _rgb(simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, int(quality))))


def lit(image: Pixels, points: Points, gain: float) -> Pixels:
    """Exposure: every value times `gain`, clipped."""
    return _rgb(np.clip(image * gain, 0, 255))


def noisy(image: Pixels, points: Points, sigma: float) -> Pixels:
    """Gaussian noise, sigma in grey levels; always the same for the same photo size."""
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return _rgb(np.clip(image + noise, 0, 255))


def squeezed(image: Pixels, points: Points, share: float) -> Pixels:
    """One half of the face narrowed to `share` of its width, as a turned head looks: a stand-in for yaw."""
    height, width = image.shape[:2]
    nose = int(np.clip(points[2, 0], 1, width - 1))
    near = image[:, :nose]
    far = cv2.resize(image[:, nose:], (max(1, round((width - nose) * share)), height), interpolation=cv2.INTER_AREA)
    return _rgb(np.concatenate((near, far), axis=1))


def masked(image: Pixels, points: Points, share: float) -> Pixels:
    """A light-blue mask from the chin up to `share` of the way from the mouth (0) to the eyes (1)."""
    left, right, mouth = points[0], points[1], points[3:].mean(axis=0)
    across = right - left
    top = mouth + ((left + right) / 2 - mouth) * share
    chin = mouth + (mouth - (left + right) / 2) * 0.7
    corners = [top - across, top + across, chin + across * 0.7, chin - across * 0.7]
    return _filled(image, corners, (160, 200, 220))


def sunglasses(image: Pixels, points: Points, size: float) -> Pixels:
    """Black glasses; each lens `size` times half the distance of the eyes in radius."""
    covered = image.copy()
    radius = int(np.linalg.norm(points[1] - points[0]) / 2 * size)
    for eye in points[:2]:
        cv2.circle(covered, tuple(int(v) for v in eye), radius, (10, 10, 10), -1)
    return covered


def _filled(image: Pixels, corners: list[Points], colour: tuple[int, int, int]) -> Pixels:
    covered = image.copy()
    cv2.fillConvexPoly(covered, np.array(corners, np.int32), colour)
    return covered


def _rgb(image: NDArray[np.generic]) -> Pixels:
    return np.ascontiguousarray(image, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Series:
    """One way to get worse, and how far: `steps` in `unit`."""

    name: str
    unit: str
    change: Callable[[Pixels, Points, float], Pixels]
    steps: tuple[float, ...]


SERIES = (
    Series("Resolution", "height of the face, pixels", small, (112, 80, 56, 40, 32, 24, 20)),
    Series("Blur", "sigma, pixels of a face 112 high", blurred, (0, 1, 2, 3, 4, 6)),
    Series("JPEG", "quality", compressed, (90, 50, 30, 20, 10, 5)),
    Series("Pose (squeezed half face)", "width left of one half", squeezed, (1.0, 0.8, 0.6, 0.45, 0.3)),
    Series("Mask", "how far up to the eyes", masked, (0.0, 0.25, 0.5, 0.7)),
    Series("Sunglasses", "lens radius / half the eyes' distance", sunglasses, (0.0, 0.3, 0.6, 0.9)),
    Series("Brightness", "exposure factor", lit, (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0)),
    Series("Noise", "sigma, grey levels", noisy, (0, 5, 10, 15, 20, 30, 40)),
)
