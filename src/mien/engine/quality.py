"""An aligned crop and its landmarks go in, brightness, sharpness and pose come out; then who passes a filter.

The scales are Rekognition's (brightness and sharpness 0..100, pose in degrees); the cut-offs are our own choice.
Pose rests on five points and one head shape: roll is good to a few degrees, yaw and pitch are rough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, atan2, degrees, sqrt
from typing import TypeVar

import cv2
import numpy as np

from mien.domain.faces import Detection, Pose, Quality, QualityFilter, Reason
from mien.engine.arrays import Floats, Pixels

D = TypeVar("D", bound=Detection)

HEAD = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.3, 0.8], [-0.8, 1.32, 0.1], [0.8, 1.32, 0.1]], np.float32)
_FIT = np.linalg.pinv(HEAD - HEAD.mean(axis=0)).astype(np.float32)
SHARP = 120.0
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class CutOffs:
    """What a face needs to pass a filter level: percentages, pixels, and degrees either way."""

    confidence: float
    size: float
    brightness: float
    sharpness: float
    yaw: float
    pitch: float


CUT_OFFS = {
    QualityFilter.LOW: CutOffs(70, 24, 8, 5, 75, 60),
    QualityFilter.MEDIUM: CutOffs(80, 40, 15, 15, 60, 45),
    QualityFilter.HIGH: CutOffs(90, 80, 25, 30, 40, 35),
}
CUT_OFFS[QualityFilter.AUTO] = CUT_OFFS[QualityFilter.LOW]


def reasons(detection: Detection, level: QualityFilter) -> tuple[Reason, ...]:
    """Why a face does not pass a filter level; empty when it does. NONE lets every face pass."""
    if level is QualityFilter.NONE:
        return ()
    least, quality, pose = CUT_OFFS[level], detection.quality, detection.pose
    checks = (
        (detection.confidence < least.confidence, Reason.LOW_CONFIDENCE),
        (quality.size < least.size, Reason.SMALL_BOUNDING_BOX),
        (quality.brightness < least.brightness, Reason.LOW_BRIGHTNESS),
        (quality.sharpness < least.sharpness, Reason.LOW_SHARPNESS),
        (abs(pose.yaw) > least.yaw or abs(pose.pitch) > least.pitch, Reason.EXTREME_POSE),
    )
    return tuple(reason for failed, reason in checks if failed)


def select(
    faces: Sequence[D], level: QualityFilter, max_faces: int | None = None
) -> tuple[list[D], list[tuple[D, tuple[Reason, ...]]]]:
    """Part faces into those that pass, the largest first, and those left out, with reasons.

    Over `max_faces`, the faces of the lowest quality go first, then the smallest.
    """
    judged = [(face, reasons(face, level)) for face in faces]
    left_out = [(face, why) for face, why in judged if why]
    passed = sorted((face for face, why in judged if not why), key=_rank, reverse=True)
    kept = passed[:max_faces]
    left_out += [(face, (Reason.EXCEEDS_MAX_FACES,)) for face in passed[len(kept) :]]
    return sorted(kept, key=lambda face: face.box.area, reverse=True), left_out


def _rank(face: Detection) -> tuple[int, float]:
    levels = (QualityFilter.HIGH, QualityFilter.MEDIUM, QualityFilter.LOW)
    return sum(not reasons(face, level) for level in levels), face.box.area


def measure(crop: Pixels, size: float) -> Quality:
    """Brightness and sharpness of an aligned crop whose face is `size` pixels on the photo."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[16:-8, 16:-16]
    detail = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1].item()) ** 2
    return Quality(
        brightness=cv2.mean(grey)[0] / 255 * 100,
        sharpness=100 * detail / (detail + SHARP),
        size=size,
    )


def pose(points: Floats) -> Pose:
    """Roll, yaw and pitch of a head with landmarks `points` (5, 2), by scaled orthographic projection.

    The rotation nearest to the linear fit, parted as roll after yaw after pitch. DeMenthon and Davis: Model-based
    object pose in 25 lines of code, IJCV 1995 (its first iteration).
    """
    (a, b, c), (d, e, f) = _nearest_rotation(_FIT @ (points - points.mean(axis=0)))
    ahead = (b * f - c * e, c * d - a * f, a * e - b * d)
    roll, yaw, pitch = atan2(d, a), asin(min(max(-ahead[0], -1.0), 1.0)), atan2(ahead[1], ahead[2])
    return Pose(degrees(roll), degrees(yaw), degrees(pitch))


def _nearest_rotation(fit: Floats) -> list[list[float]]:
    """The two orthonormal rows nearest to the columns of `fit` (3, 2): its polar factor, (A A^T)^-1/2 A."""
    rows = fit.T.astype(np.float64)
    gram = rows @ rows.T
    root = sqrt(max(float(gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2), TINY))
    inverse = np.array([[gram[1, 1] + root, -gram[0, 1]], [-gram[0, 1], gram[0, 0] + root]])
    inverse /= root * sqrt(float(gram[0, 0] + gram[1, 1]) + 2 * root)
    result: list[list[float]] = (inverse @ rows).tolist()
    return result
