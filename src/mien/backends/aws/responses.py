"""Rekognition's face shapes -> the domain's.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mien.domain.faces import Box, Detection, Landmarks, Point, Pose, Quality, Reason

if TYPE_CHECKING:
    from mien.backends.aws.image_limits import Photo

_POINTS = {
    "eyeLeft": "left_eye",
    "eyeRight": "right_eye",
    "nose": "nose",
    "mouthLeft": "mouth_left",
    "mouthRight": "mouth_right",
}


def detection(shape: Mapping[str, Any], photo: Photo) -> Detection:
    """A FaceDetail or ComparedFace; the photo gives the face's size in pixels, which AWS does not tell."""
    face = box(shape)
    size = min(face.width * photo.width, face.height * photo.height)
    quality, pose = shape["Quality"], shape["Pose"]
    return Detection(
        box=face,
        landmarks=_landmarks(shape),
        confidence=shape["Confidence"],
        pose=Pose(pose["Roll"], pose["Yaw"], pose["Pitch"]),
        quality=Quality(quality["Brightness"], quality["Sharpness"], size),
        turned=0,
    )


def box(shape: Mapping[str, Any]) -> Box:
    edges = shape["BoundingBox"]
    return Box(edges["Left"], edges["Top"], edges["Width"], edges["Height"])


def reasons(shape: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Why a face was left out; a reason that AWS adds one day counts as low quality."""
    known = set(Reason)
    return tuple(Reason(name) if name in known else Reason.LOW_FACE_QUALITY for name in shape["Reasons"])


def same_place(one: Box, other: Box) -> bool:
    """Whether the centre of the other box lies in the middle half of the first."""
    dx = one.left + one.width / 2 - other.left - other.width / 2
    dy = one.top + one.height / 2 - other.top - other.height / 2
    return abs(dx) <= one.width / 4 and abs(dy) <= one.height / 4


def _landmarks(shape: Mapping[str, Any]) -> Landmarks:
    points = {_POINTS[p["Type"]]: Point(p["X"], p["Y"]) for p in shape["Landmarks"] if p["Type"] in _POINTS}
    return Landmarks(**points)
