"""Convert Rekognition's shapes to values of the domain.

Source: https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mien.domain import object_keys
from mien.domain.faces import Box, Detection, Landmarks, Point, Pose, Quality, Reason
from mien.domain.results import FaceHit, UserHit

if TYPE_CHECKING:
    from mien.backends.aws.photos import RekognitionPhoto

_POINTS = {
    "eyeLeft": "left_eye",
    "eyeRight": "right_eye",
    "nose": "nose",
    "mouthLeft": "mouth_left",
    "mouthRight": "mouth_right",
}


def detection(shape: Mapping[str, Any], photo: RekognitionPhoto) -> Detection:
    """Convert a FaceDetail or ComparedFace.

    Rekognition does not give the face's size in pixels, the photo's does; it is 0 where only Rekognition saw the photo.
    """
    box = to_box(shape["BoundingBox"])
    width, height = photo.size or (0, 0)
    quality, pose = shape["Quality"], shape["Pose"]
    return Detection(
        box=box,
        landmarks=_landmarks(shape),
        confidence=shape["Confidence"],
        pose=Pose(pose["Roll"], pose["Yaw"], pose["Pitch"]),
        quality=Quality(quality["Brightness"], quality["Sharpness"], min(box.width * width, box.height * height)),
        rotation=0,
    )


def to_box(edges: Mapping[str, float]) -> Box:
    """Convert a BoundingBox."""
    return Box(edges["Left"], edges["Top"], edges["Width"], edges["Height"])


def reasons(shape: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Return why a face was rejected. A reason that AWS adds one day counts as low quality."""
    known = set(Reason)
    return tuple(Reason(name) if name in known else Reason.LOW_FACE_QUALITY for name in shape["Reasons"])


def face_hits(response: Mapping[str, Any]) -> tuple[FaceHit, ...]:
    """Return the enrolled faces that a search has found."""
    return tuple(FaceHit(match["Face"]["FaceId"], match["Similarity"]) for match in response.get("FaceMatches", ()))


def user_hits(response: Mapping[str, Any]) -> tuple[UserHit, ...]:
    """Return the people whom a search has found."""
    return tuple(
        UserHit(object_keys.from_recognizer_id(match["User"]["UserId"]) or object_keys.NO_USER, match["Similarity"])
        for match in response.get("UserMatches", ())
    )


def _landmarks(shape: Mapping[str, Any]) -> Landmarks:
    points = {_POINTS[p["Type"]]: Point(p["X"], p["Y"]) for p in shape["Landmarks"] if p["Type"] in _POINTS}
    return Landmarks(**points)
