"""A photo and five landmarks go in, an upright 112x112 face comes out.

The similarity transform (turn, scale, shift) that brings the landmarks nearest to the usual template, in the
least-squares sense. Template: Deng et al., ArcFace, CVPR 2019 (github.com/deepinsight/insightface, MIT).
"""

from __future__ import annotations

import cv2
import numpy as np

from mien.engine.arrays import Floats, Pixels

SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
_CENTRE = TEMPLATE.mean(axis=0)
_CENTRED = (TEMPLATE - _CENTRE).view(np.complex64).ravel()


def similarity_to_template(points: Floats) -> Floats:
    """The (2, 3) matrix that maps points (5, 2) to the template: Umeyama, PAMI 1991, without reflection."""
    centre = points.mean(axis=0)
    turn = _turn_and_scale(points - centre)
    matrix = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0]], np.float32)
    matrix[:, 2] = _CENTRE - matrix[:, :2] @ centre
    return matrix


def face_size(points: Floats) -> float:
    """How many pixels of the photo the crop's side spans."""
    return SIDE / max(abs(_turn_and_scale(points - points.mean(axis=0))), 1e-6)


def _turn_and_scale(centred: Floats) -> complex:
    """In the complex plane, to turn and to scale is to multiply, and the best factor is a quotient of products."""
    places = np.ascontiguousarray(centred, np.float32).view(np.complex64).ravel()
    return complex(np.vdot(places, _CENTRED)) / max(float(np.vdot(places, places).real), 1e-6)


def crop(pixels: Pixels, points: Floats) -> Pixels:
    """Cut the face with landmarks `points` (5, 2) out of RGB `pixels`: (112, 112, 3)."""
    return warp(pixels, similarity_to_template(points), SIDE)


def warp(pixels: Pixels, matrix: Floats, side: int) -> Pixels:
    """Draw `pixels` through the similarity `matrix` on a black square.

    A strong reduction is averaged, not sampled.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        pixels, matrix = _reduced(pixels, matrix, side, scale)
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _reduced(pixels: Pixels, matrix: Floats, side: int, scale: float) -> tuple[Pixels, Floats]:
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]], np.float32) @ inverse.T
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), (left + 1, top + 1), (width, height))
    region = pixels[top:bottom, left:right]
    extent = np.array([right - left, bottom - top])
    size = np.maximum(np.round(extent * scale), 1).astype(int)
    small = cv2.resize(region, size.tolist(), interpolation=cv2.INTER_AREA)
    factor = extent / size
    offset = np.array([left, top]) + (factor - 1) / 2
    moved = np.concatenate([matrix[:, :2] * factor, (matrix[:, :2] @ offset + matrix[:, 2])[:, None]], axis=1)
    return small, moved  # type: ignore[return-value]
