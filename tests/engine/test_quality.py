from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.domain.faces import Box, Detection, Landmarks, Point, Pose, Quality, QualityFilter, Reason
from mien.engine.quality import HEAD_MODEL, estimate_pose, filter_faces, measure_quality, rejection_reasons

ORIGIN = Point(0, 0)
GOOD = Detection(
    box=Box(0.1, 0.1, 0.3, 0.4),
    landmarks=Landmarks(ORIGIN, ORIGIN, ORIGIN, ORIGIN, ORIGIN),
    confidence=99,
    pose=Pose(0, 0, 0),
    quality=Quality(brightness=60, sharpness=80, size=200),
    rotation=0,
)
BLURRED = replace(GOOD, quality=replace(GOOD.quality, sharpness=1))


def sized(width: float, face: Detection = GOOD) -> Detection:
    return replace(face, box=Box(0, 0, width, width))


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (replace(GOOD, confidence=60), Reason.LOW_CONFIDENCE),
        (replace(GOOD, quality=replace(GOOD.quality, size=12)), Reason.SMALL_BOUNDING_BOX),
        (replace(GOOD, quality=replace(GOOD.quality, brightness=2)), Reason.LOW_BRIGHTNESS),
        (BLURRED, Reason.LOW_SHARPNESS),
        (replace(GOOD, pose=Pose(0, 85, 0)), Reason.EXTREME_POSE),
        (replace(GOOD, pose=Pose(0, 0, -80)), Reason.EXTREME_POSE),
    ],
)
@pytest.mark.parametrize("level", [QualityFilter.AUTO, QualityFilter.LOW, QualityFilter.MEDIUM, QualityFilter.HIGH])
def test_each_fault_has_its_reason(face, reason, level):
    assert rejection_reasons(face, level) == (reason,)


def test_none_lets_every_face_pass():
    assert rejection_reasons(BLURRED, QualityFilter.NONE) == ()


def test_a_head_that_leans_is_no_extreme_pose():
    assert rejection_reasons(replace(GOOD, pose=Pose(170, 0, 0)), QualityFilter.HIGH) == ()


def test_a_stricter_level_lets_fewer_faces_pass():
    middling = replace(GOOD, confidence=85)
    passes = [
        not rejection_reasons(middling, level)
        for level in (QualityFilter.LOW, QualityFilter.MEDIUM, QualityFilter.HIGH)
    ]
    assert passes == [True, True, False]


def test_select_keeps_the_largest_first_and_gives_reasons():
    kept, left_out = filter_faces([sized(0.1), sized(0.3), sized(0.2, BLURRED)], QualityFilter.AUTO)
    assert kept == [sized(0.3), sized(0.1)]
    assert left_out == [(sized(0.2, BLURRED), (Reason.LOW_SHARPNESS,))]


def test_over_the_maximum_the_poorest_goes_first_then_the_smallest():
    poor = replace(sized(0.9), confidence=75)
    kept, left_out = filter_faces([poor, sized(0.2), sized(0.3)], QualityFilter.LOW, 1)
    assert kept == [sized(0.3)]
    assert left_out == [(sized(0.2), (Reason.EXCEEDS_MAX_FACES,)), (poor, (Reason.EXCEEDS_MAX_FACES,))]


def turned_head(roll: float, yaw: float, pitch: float) -> np.ndarray:
    """The landmarks of a head in the photo's axes: x to the right, y down, z to the viewer."""
    r, y, p = np.radians([roll, yaw, pitch])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return (HEAD_MODEL @ (about_z @ about_y @ about_x).T)[:, :2].astype(np.float32) * 40 + 100


@pytest.mark.parametrize("roll", [-60, 0, 90, 170])
@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-45, 0), (0, 25), (0, -25)])
def test_pose_of_a_turned_head(roll, yaw, pitch):
    found = estimate_pose(turned_head(roll, yaw, pitch))
    assert (found.roll, found.yaw, found.pitch) == pytest.approx((roll, yaw, pitch), abs=6)


def test_yaw_is_positive_when_the_nose_points_to_the_viewers_right():
    points = np.array([[0, 0], [10, 0], [8, 6], [1, 12], [9, 12]], np.float32)
    assert estimate_pose(points).yaw > 10


@pytest.fixture
def crop() -> np.ndarray:
    noise = np.random.default_rng(5).integers(60, 200, (28, 28, 3), np.uint8)
    return cv2.resize(noise, (112, 112), interpolation=cv2.INTER_CUBIC)


def test_a_blurred_face_is_less_sharp(crop):
    sharpness = [measure_quality(cv2.GaussianBlur(crop, (0, 0), sigma), 99).sharpness for sigma in (0.1, 1.5, 4)]
    assert 100 > sharpness[0] > sharpness[1] > sharpness[2] > 0


def test_a_darker_face_is_less_bright(crop):
    assert 0 < measure_quality(crop // 4, 99).brightness < measure_quality(crop, 99).brightness < 100
