"""Serialize domain values into the members of Rekognition's answers, and resource names (ARNs) both ways.

Boxes and landmarks are fractions of the width and height of the upright photo. Numbers are rounded to 32-bit floats,
as Rekognition's are. Attributes that Mien has no model for (age, smile, glasses and so on) are left out.

Source: Amazon Rekognition API Reference, data types `Face`, `FaceDetail`, `ComparedFace`, `FaceMatch`, `UserMatch` and
`UnindexedFace`; rounding after published answers of the service.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from struct import Struct
from typing import Any

from mien.domain.faces import Box, Detection, FaceMatch, Reason, StoredFace, UserMatch
from mien.rekognition.errors import WireError, invalid

COLLECTION_ARN = re.compile(r"arn:aws[a-z-]*:rekognition:[a-z0-9-]+:(\d{12}):collection/([a-zA-Z0-9_.\-]{1,255})")


def collection_arn(region: str, account: str, collection_id: str) -> str:
    """Return the ARN of a collection."""
    return f"arn:aws:rekognition:{region}:{account}:collection/{collection_id}"


def parse_collection_arn(arn: str, account: str) -> str:
    """Return the id of the collection that an ARN names.

    Raises WireError: InvalidParameterException for another kind of resource, ResourceNotFoundException for another
    account.
    """
    match = COLLECTION_ARN.fullmatch(arn)
    if not match:
        raise invalid("The ResourceArn does not name a collection.")
    if match[1] != account:
        raise WireError("ResourceNotFoundException", f"The resource {arn} does not exist")
    return match[2]


def identity_arn(account: str, identity: str) -> str:
    """Return the ARN of an identity of the access keys file: an ARN as it is, a name as a user of the account."""
    return identity if identity.startswith("arn:") else f"arn:aws:iam::{account}:user/{identity}"


_FLOAT = Struct("f")


def float32(number: float) -> float:
    """Return the nearest 32-bit float as a Python float, which JSON prints in full: 99.9114990234375."""
    nearest: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    return nearest


def bounding_box(box: Box) -> dict[str, float]:
    """Serialize a box as a BoundingBox."""
    return {
        "Width": float32(box.width),
        "Height": float32(box.height),
        "Left": float32(box.left),
        "Top": float32(box.top),
    }


def compared_face(face: Detection) -> dict[str, Any]:
    """Serialize a detection as a ComparedFace; a FaceDetail with the DEFAULT attributes has the same members."""
    landmarks, pose, quality = face.landmarks, face.pose, face.quality
    points = (
        ("eyeLeft", landmarks.left_eye),
        ("eyeRight", landmarks.right_eye),
        ("mouthLeft", landmarks.mouth_left),
        ("mouthRight", landmarks.mouth_right),
        ("nose", landmarks.nose),
    )
    return {
        "BoundingBox": bounding_box(face.box),
        "Confidence": float32(face.confidence),
        "Landmarks": [{"Type": kind, "X": float32(point.x), "Y": float32(point.y)} for kind, point in points],
        "Pose": {"Roll": float32(pose.roll), "Yaw": float32(pose.yaw), "Pitch": float32(pose.pitch)},
        "Quality": {
            "Brightness": float32(quality.brightness),
            "Sharpness": float32(quality.sharpness),
        },
    }


face_detail = compared_face


def new_face(face: StoredFace) -> dict[str, Any]:
    """Serialize a Face as IndexFaces answers it: without user and model version."""
    external_image_id = {"ExternalImageId": face.external_image_id} if face.external_image_id else {}
    return {
        "FaceId": face.face_id,
        "BoundingBox": bounding_box(face.box),
        "ImageId": face.image_id,
        "Confidence": float32(face.confidence),
    } | external_image_id


def stored_face(face: StoredFace) -> dict[str, Any]:
    """Serialize a Face as lists and searches answer it.

    Box and confidence are rounded to 6 and 4 decimals, as Rekognition stores them.
    """
    box = {name: float32(round(value, 6)) for name, value in bounding_box(face.box).items()}
    user = {"UserId": face.user_id} if face.user_id else {}
    return (
        new_face(face)
        | {
            "BoundingBox": box,
            "Confidence": float32(round(face.confidence, 4)),
            "IndexFacesModelVersion": numeric_version(face.model_version),
        }
        | user
    )


@cache
def numeric_version(model_version: str) -> str:
    """Return a number made from a digest of the model version: IndexFacesModelVersion allows digits and dots only."""
    digest = hashlib.sha256(model_version.encode()).digest()
    return f"1.{int.from_bytes(digest[:4])}"


def face_matches(matches: Iterable[FaceMatch]) -> list[dict[str, Any]]:
    """Serialize matches of faces as FaceMatches, in the same order."""
    return [{"Similarity": float32(match.similarity), "Face": stored_face(match.face)} for match in matches]


def user_matches(matches: Iterable[UserMatch]) -> list[dict[str, Any]]:
    """Serialize matches of users as UserMatches, in the same order."""
    return [
        {
            "Similarity": float32(match.similarity),
            "User": {"UserId": match.user.user_id, "UserStatus": match.user.status.value},
        }
        for match in matches
    ]


def unindexed_faces(rejected: Iterable[tuple[Detection, tuple[Reason, ...]]]) -> list[dict[str, Any]]:
    """Serialize faces that were not indexed, with their reasons, as UnindexedFaces."""
    return [
        {"Reasons": [reason.value for reason in reasons], "FaceDetail": face_detail(face)} for face, reasons in rejected
    ]
