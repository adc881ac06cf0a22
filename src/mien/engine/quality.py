"""Measure brightness, sharpness and pose of a face, and filter faces by quality.

The scales are Rekognition's (brightness and sharpness 0 to 100, pose in degrees); the thresholds are Mien's own. Pose
rests on five landmarks and one head shape: roll is good to a few degrees, yaw and pitch are rough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, atan2, degrees, sqrt
from typing import TypeVar

import cv2
import numpy as np

from mien.domain.faces import Detection, Pose, Quality, QualityFilter, Reason
from mien.engine.context import Floats, Pixels

D = TypeVar("D", bound=Detection)

HEAD_MODEL = np.array(
    [[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.3, 0.8], [-0.8, 1.32, 0.1], [0.8, 1.32, 0.1]], np.float32
)
"""(5, 3) landmarks of a frontal head: x to the right, y down, z towards the viewer; half the eyes' distance is 1."""

SHARPNESS_MIDPOINT = 120.0
"""Variance of the Laplacian that scores a sharpness of 50."""

_PSEUDO_INVERSE = np.linalg.pinv(HEAD_MODEL - HEAD_MODEL.mean(axis=0)).astype(np.float32)
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class QualityThresholds:
    """What a face needs to pass a level of the quality filter.

    Attributes:
        confidence: at least, 0 to 100.
        size: pixels of the box's shorter side, at least.
        brightness: at least, 0 to 100.
        sharpness: at least, 0 to 100.
        yaw: degrees to either side, at most.
        pitch: degrees up or down, at most.
    """

    confidence: float
    size: float
    brightness: float
    sharpness: float
    yaw: float
    pitch: float


QUALITY_THRESHOLDS = {
    QualityFilter.LOW: QualityThresholds(70, 24, 8, 5, 75, 60),
    QualityFilter.MEDIUM: QualityThresholds(80, 40, 15, 15, 60, 45),
    QualityFilter.HIGH: QualityThresholds(90, 80, 25, 30, 40, 35),
}
QUALITY_THRESHOLDS[QualityFilter.AUTO] = QUALITY_THRESHOLDS[QualityFilter.LOW]


def rejection_reasons(detection: Detection, level: QualityFilter) -> tuple[Reason, ...]:
    """Return the reasons why a face fails a level of the quality filter; empty if it passes.

    Every face passes the level NONE.
    """
    if level is QualityFilter.NONE:
        return ()
    limits, quality, pose = QUALITY_THRESHOLDS[level], detection.quality, detection.pose
    checks = (
        (detection.confidence < limits.confidence, Reason.LOW_CONFIDENCE),
        (quality.size < limits.size, Reason.SMALL_BOUNDING_BOX),
        (quality.brightness < limits.brightness, Reason.LOW_BRIGHTNESS),
        (quality.sharpness < limits.sharpness, Reason.LOW_SHARPNESS),
        (abs(pose.yaw) > limits.yaw or abs(pose.pitch) > limits.pitch, Reason.EXTREME_POSE),
    )
    return tuple(reason for failed, reason in checks if failed)


def filter_faces(
    faces: Sequence[D], level: QualityFilter, max_faces: int | None = None
) -> tuple[list[D], list[tuple[D, tuple[Reason, ...]]]]:
    """Split faces into those to keep and those to reject.

    Args:
        faces: detections, or faces with embeddings.
        level: level of the quality filter.
        max_faces: how many to keep; faces of the lowest quality are dropped first, then the smallest.

    Returns:
        The kept faces, largest first, and the rejected ones with their reasons.
    """
    with_reasons = [(face, rejection_reasons(face, level)) for face in faces]
    rejected = [(face, reasons) for face, reasons in with_reasons if reasons]
    passed = sorted((face for face, reasons in with_reasons if not reasons), key=_rank, reverse=True)
    kept = passed[:max_faces]
    rejected += [(face, (Reason.EXCEEDS_MAX_FACES,)) for face in passed[len(kept) :]]
    return sorted(kept, key=lambda face: face.box.area, reverse=True), rejected


def _rank(face: Detection) -> tuple[int, float]:
    levels = (QualityFilter.HIGH, QualityFilter.MEDIUM, QualityFilter.LOW)
    return sum(not rejection_reasons(face, level) for level in levels), face.box.area


def measure_quality(aligned: Pixels, size: float) -> Quality:
    """Measure brightness and sharpness of a face.

    Args:
        aligned: aligned face, RGB (112, 112, 3), uint8.
        size: pixels of the box's shorter side in the photo at full size; passed through.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY)[16:-8, 16:-16]
    variance = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1].item()) ** 2
    return Quality(
        brightness=cv2.mean(grey)[0] / 255 * 100,
        sharpness=100 * variance / (variance + SHARPNESS_MIDPOINT),
        size=size,
    )


def estimate_pose(points: Floats) -> Pose:
    """Estimate roll, yaw and pitch by scaled orthographic projection of a head model.

    The rotation nearest to the linear fit, decomposed into roll after yaw after pitch. DeMenthon and Davis:
    Model-based object pose in 25 lines of code, IJCV 1995 (its first iteration).

    Args:
        points: (5, 2) landmarks in pixels of any scale.

    Returns:
        Degrees: roll -180 to 180, yaw -90 to 90, pitch -180 to 180; signs as `Pose` defines them.
    """
    (a, b, c), (d, e, f) = _nearest_rotation(_PSEUDO_INVERSE @ (points - points.mean(axis=0)))
    ahead = (b * f - c * e, c * d - a * f, a * e - b * d)
    roll, yaw, pitch = atan2(d, a), asin(min(max(-ahead[0], -1.0), 1.0)), atan2(ahead[1], ahead[2])
    return Pose(degrees(roll), degrees(yaw), degrees(pitch))


def _nearest_rotation(fit: Floats) -> list[list[float]]:
    """The two orthonormal rows nearest to the columns of `fit` (3, 2): its polar factor, (A A^T)^-1/2 A."""
    rows = fit.T.astype(np.float64)
    gram = rows @ rows.T
    root = sqrt(max(float(gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2), _EPSILON))
    inverse = np.array([[gram[1, 1] + root, -gram[0, 1]], [-gram[0, 1], gram[0, 0] + root]])
    inverse /= root * sqrt(float(gram[0, 0] + gram[1, 1]) + 2 * root)
    result: list[list[float]] = (inverse @ rows).tolist()
    return result
