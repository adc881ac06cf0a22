"""Align faces to a template, and embed them with SFace.

Zhong et al.: SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition, IEEE TIP 2021. Alignment is the
least-squares similarity transform (rotation, scale, translation) from five landmarks to the template of Deng et al.:
ArcFace, CVPR 2019 (github.com/deepinsight/insightface, MIT), on which SFace was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.engine.context import Floats, Network, Pixels

CROP_SIDE = 112
"""Width and height in pixels of an aligned face."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""(5, 2) landmarks of an aligned face, in its pixels."""

_CENTRE = TEMPLATE.mean(axis=0)
_CENTRED = (TEMPLATE - _CENTRE).view(np.complex64).ravel()


def similarity_to_template(points: Floats) -> Floats:
    """Compute the similarity transform that maps landmarks onto the template, without reflection.

    Umeyama: Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.

    Args:
        points: (5, 2) landmarks in photo pixels.

    Returns:
        (2, 3) affine matrix, float32, from photo pixels to pixels of the aligned face.
    """
    centre = points.mean(axis=0)
    factor = _rotation_and_scale(points - centre)
    matrix = np.array([[factor.real, -factor.imag, 0], [factor.imag, factor.real, 0]], np.float32)
    matrix[:, 2] = _CENTRE - matrix[:, :2] @ centre
    return matrix


def face_size(points: Floats) -> float:
    """Compute how many photo pixels the side of the aligned face spans, from landmarks (5, 2) in photo pixels."""
    return CROP_SIDE / max(abs(_rotation_and_scale(points - points.mean(axis=0))), 1e-6)


def _rotation_and_scale(centred: Floats) -> complex:
    """In the complex plane rotation and scale are one factor, whose least-squares solution is a quotient."""
    points = np.ascontiguousarray(centred, np.float32).view(np.complex64).ravel()
    return complex(np.vdot(points, _CENTRED)) / max(float(np.vdot(points, points).real), 1e-6)


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
    adapted = np.concatenate([matrix[:, :2] * factor, (matrix[:, :2] @ offset + matrix[:, 2])[:, None]], axis=1)
    return small, adapted  # type: ignore[return-value]


def embed(network: Network, faces: Sequence[Sequence[Pixels]], *, mirrored: bool) -> Floats:
    """Embed n faces in one batch.

    Args:
        network: SFace.
        faces: for each face one or more aligned crops (112, 112, 3), RGB, uint8. The embedding of several crops is the
            normalised sum of theirs.
        mirrored: whether the crops' mirror images count too: more stable, at twice the cost.

    Returns:
        (n, 128), float32, unit length.
    """
    if not faces:
        return np.empty((0, EMBEDDING_DIMENSION), np.float32)
    inputs = [[*crops, *(crop[:, ::-1] for crop in crops)] if mirrored else crops for crops in faces]
    embeddings = _normalized(network(np.stack([crop for crops in inputs for crop in crops])))
    starts = np.cumsum([0, *(len(crops) for crops in inputs[:-1])])
    return _normalized(np.add.reduceat(embeddings, starts, axis=0))


def _normalized(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
