"""Align faces to a template, and say where they are in the upright photo.

Alignment is the least-squares similarity transform (rotation, scale, translation) from five landmarks to the template
of Deng et al.: ArcFace, CVPR 2019 (github.com/deepinsight/insightface, MIT), on which SFace was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from operator import mul
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import Box, Detection, Landmarks, Point
from mien.engine.context import Floats, Pixels
from mien.engine.decode import Photo
from mien.engine.quality import estimate_pose, measure_quality
from mien.engine.refine import DetectedFace, RefinedLandmarks

CROP_SIDE = 112
"""Width and height in pixels of an aligned face."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""(5, 2) landmarks of an aligned face, in its pixels."""

_CENTRE = TEMPLATE.mean(axis=0)
_CENTRED = (TEMPLATE - _CENTRE).T.tolist()


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A detection and its aligned crops (112, 112, 3), one for each estimate of the landmarks.

    `pixels` are the photo's, and `box` (4,) is the face's place in them.
    """

    detection: Detection
    crops: list[Pixels]
    pixels: Pixels
    box: Floats

    @classmethod
    def of(cls, photo: Photo, face: DetectedFace, refined: RefinedLandmarks) -> AlignedFace:
        """Align a face once for each estimate of its landmarks, and describe it in the frame of the upright photo.

        Args:
            photo: The photo that shows the face.
            face: The face as it was detected.
            refined: Its refined box and landmarks, in the same pixels.
        """
        crops = [align_face(face.pixels, points) for points in refined.points]
        points = refined.points.mean(axis=0)
        aligned = crops[0] if len(crops) == 1 else align_face(face.pixels, points)
        return cls(_detection(photo, face, refined.box, points, aligned), crops, face.pixels, refined.box)


def _detection(photo: Photo, face: DetectedFace, box: Floats, points: Floats, aligned: Pixels) -> Detection:
    """Convert box (4,) and landmarks (5, 2) from photo pixels to fractions of the upright photo."""
    size = np.array([face.pixels.shape[1], face.pixels.shape[0]], np.float32)
    corners = unrotate_points(np.stack([box[:2], box[:2] + box[2:]]) / size, photo.rotation)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    landmarks = unrotate_points(points / size, photo.rotation).tolist()
    size_at_full_scale = float(min(box[2:])) * photo.width / face.pixels.shape[1]
    return Detection(
        box=Box(left, top, right - left, bottom - top),
        landmarks=Landmarks(*(Point(x, y) for x, y in landmarks)),
        confidence=100 * float(face.score),
        pose=estimate_pose(points),
        quality=measure_quality(aligned, size_at_full_scale),
        rotation=photo.rotation,
    )


def unrotate_points(points: NDArray[np.floating[Any]], degrees: int) -> NDArray[np.floating[Any]]:
    """Map points of a rotated photo back to the photo before rotation.

    Args:
        points: (..., 2) x, y as fractions of the rotated photo.
        degrees: clockwise rotation of that photo: 0, 90, 180 or 270.

    Returns:
        (..., 2) x, y as fractions of the upright photo.
    """
    if not degrees:
        return points
    x, y = points[..., 0], points[..., 1]
    unrotated = {90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]
    return np.stack(unrotated, axis=-1)


def similarity_to_template(points: Floats) -> Floats:
    """Compute the similarity transform that maps landmarks onto the template, without reflection.

    Umeyama: Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.

    Args:
        points: (5, 2) landmarks in photo pixels.

    Returns:
        (2, 3) affine matrix, float32, from photo pixels to pixels of the aligned face.
    """
    factor = _rotation_and_scale(points)
    shift = complex(*_CENTRE.tolist()) - factor * complex(*points.mean(axis=0).tolist())
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]], np.float32)


def face_size(points: Floats) -> float:
    """Compute how many photo pixels the side of the aligned face spans, from landmarks (5, 2) in photo pixels."""
    return CROP_SIDE / max(abs(_rotation_and_scale(points)), 1e-6)


def _rotation_and_scale(points: Floats) -> complex:
    """Compute rotation and scale as one complex factor, whose least-squares solution is a quotient.

    Not by NumPy's products, which are those of a BLAS library: its sums differ from processor to processor.
    """
    (x, y), (to_x, to_y) = (points - points.mean(axis=0)).T.tolist(), _CENTRED
    real = fsum(map(mul, [*x, *y], [*to_x, *to_y]))
    imaginary = fsum(map(mul, [*x, *y], [*to_y, *(-to for to in to_x)]))
    return complex(real, imaginary) / max(fsum(map(mul, [*x, *y], [*x, *y])), 1e-6)


def align_face(pixels: Pixels, points: Floats) -> Pixels:
    """Cut an upright face out of a photo.

    Args:
        pixels: RGB (height, width, 3), uint8.
        points: (5, 2) landmarks in the same pixels.

    Returns:
        RGB (112, 112, 3), uint8; what lies outside the photo is black.
    """
    return warp(pixels, similarity_to_template(points), CROP_SIDE)


def warp(pixels: Pixels, matrix: Floats, side: int) -> Pixels:
    """Draw an image through a similarity transform; averages pixels where it reduces them by more than half.

    Args:
        pixels: RGB (height, width, 3), uint8.
        matrix: (2, 3) from pixels of the image to pixels of the result.
        side: width and height of the result.

    Returns:
        RGB (side, side, 3), uint8; what lies outside the image is black.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        pixels, matrix = _reduce(pixels, matrix, side, scale)
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _reduce(pixels: Pixels, matrix: Floats, side: int, scale: float) -> tuple[Pixels, Floats]:
    """Reduce the region that the result shows, and adapt the matrix to it."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([_transformed(inverse, x, y) for x in (0, side) for y in (0, side)])
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), (left + 1, top + 1), (width, height))
    region = pixels[top:bottom, left:right]
    extent = np.array([right - left, bottom - top])
    size = np.maximum(np.round(extent * scale), 1).astype(int)
    small = cv2.resize(region, size.tolist(), interpolation=cv2.INTER_AREA)
    factor = extent / size
    offset = np.array([left, top]) + (factor - 1) / 2
    adapted = np.concatenate([matrix[:, :2] * factor, _transformed(matrix, *offset.tolist())[:, None]], axis=1)
    return small, adapted  # type: ignore[return-value]


def _transformed(matrix: NDArray[Any], x: float, y: float) -> Floats:
    """Map a point; see `_rotation_and_scale` for why it is not written as a product."""
    values: Floats = matrix[:, 0] * x + matrix[:, 1] * y + matrix[:, 2]
    return values
