"""Names of resources in AWS's form: `arn:aws:rekognition:<region>:<account>:collection/<id>`.

Domain values go in, the members of Rekognition's answers come out.

Numbers pass through 32-bit floats, as Rekognition's do. Attributes that no model of ours estimates (age, smile,
glasses ...) are left out, never invented.
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

COLLECTION = re.compile(r"arn:aws[a-z-]*:rekognition:[a-z0-9-]+:(\d{12}):collection/([a-zA-Z0-9_.\-]{1,255})")


def collection_arn(region: str, account: str, collection_id: str) -> str:
    return f"arn:aws:rekognition:{region}:{account}:collection/{collection_id}"


def collection_of(arn: str, account: str) -> str:
    """The collection id that an ARN names. Raises WireError for other resources and other accounts."""
    found = COLLECTION.fullmatch(arn)
    if not found:
        raise invalid("The ResourceArn does not name a collection.")
    if found[1] != account:
        raise WireError("ResourceNotFoundException", f"The resource {arn} does not exist")
    return found[2]


def identity_arn(account: str, identity: str) -> str:
    """An identity from the keys file: an ARN as it is, a plain name as a user of the account."""
    return identity if identity.startswith("arn:") else f"arn:aws:iam::{account}:user/{identity}"


_FLOAT = Struct("f")


def float32(number: float) -> float:
    """The nearest 32-bit float, printed by JSON as a double: 99.9114990234375."""
    nearest: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    return nearest


def bounding_box(box: Box) -> dict[str, float]:
    return {
        "Width": float32(box.width),
        "Height": float32(box.height),
        "Left": float32(box.left),
        "Top": float32(box.top),
    }


def compared_face(face: Detection) -> dict[str, Any]:
    """A ComparedFace, which is also what a FaceDetail holds here: the DEFAULT attributes."""
    points, pose, quality = face.landmarks, face.pose, face.quality
    named = (
        ("eyeLeft", points.left_eye),
        ("eyeRight", points.right_eye),
        ("mouthLeft", points.mouth_left),
        ("mouthRight", points.mouth_right),
        ("nose", points.nose),
    )
    return {
        "BoundingBox": bounding_box(face.box),
        "Confidence": float32(face.confidence),
        "Landmarks": [{"Type": kind, "X": float32(point.x), "Y": float32(point.y)} for kind, point in named],
        "Pose": {"Roll": float32(pose.roll), "Yaw": float32(pose.yaw), "Pitch": float32(pose.pitch)},
        "Quality": {
            "Brightness": float32(quality.brightness),
            "Sharpness": float32(quality.sharpness),
        },
    }


face_detail = compared_face


def new_face(face: StoredFace) -> dict[str, Any]:
    """A Face as IndexFaces answers it: without user and model version."""
    external = {"ExternalImageId": face.external_image_id} if face.external_image_id else {}
    return {
        "FaceId": face.face_id,
        "BoundingBox": bounding_box(face.box),
        "ImageId": face.image_id,
        "Confidence": float32(face.confidence),
    } | external


def stored_face(face: StoredFace) -> dict[str, Any]:
    """A Face as lists and searches answer it; boxes to 6 decimals and confidence to 4, as Rekognition keeps them."""
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
    """A model version in digits, since the wire allows nothing else there: a digest of the whole name."""
    digest = hashlib.sha256(model_version.encode()).digest()
    return f"1.{int.from_bytes(digest[:4])}"


def face_matches(matches: Iterable[FaceMatch]) -> list[dict[str, Any]]:
    return [{"Similarity": float32(match.similarity), "Face": stored_face(match.face)} for match in matches]


def user_matches(matches: Iterable[UserMatch]) -> list[dict[str, Any]]:
    return [
        {
            "Similarity": float32(match.similarity),
            "User": {"UserId": match.user.user_id, "UserStatus": match.user.status.value},
        }
        for match in matches
    ]


def unindexed_faces(left_out: Iterable[tuple[Detection, tuple[Reason, ...]]]) -> list[dict[str, Any]]:
    return [{"Reasons": [reason.value for reason in why], "FaceDetail": face_detail(face)} for face, why in left_out]
