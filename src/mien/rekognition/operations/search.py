"""Who is this? Faces and users of a collection that are like a stored face, a stored user, or a photo.

Of a photo, only the largest face is searched. A face that the quality filter keeps out counts as no face.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.engine import Face
from mien.engine.quality import reasons
from mien.errors import FaceNotFound, NoFace
from mien.model import FaceMatch, QualityFilter
from mien.rekognition.details import bounding_box, face_detail, face_matches, float32, user_matches
from mien.rekognition.errors import invalid
from mien.rekognition.paging import MOST_RESULTS, MOST_USERS
from mien.rekognition.service import Call, Service

THRESHOLD = 80.0


def search_faces(service: Service, call: Call) -> dict[str, Any]:
    collection = service.gallery.describe_collection(call.collection_id)
    face_id = call.params["FaceId"]
    if face_id in service.delay.unseen():
        raise FaceNotFound("The face is too new to be found.")
    matches = service.gallery.search_face(call.collection_id, face_id, **_face_terms(call))
    return {
        "SearchedFaceId": face_id,
        "FaceMatches": face_matches(_seen(service, matches)),
        "FaceModelVersion": collection.model_version,
    }


def search_faces_by_image(service: Service, call: Call) -> dict[str, Any]:
    collection = service.gallery.describe_collection(call.collection_id)
    face = service.largest_face(service.image(call.params["Image"]))
    if reasons(face, call.quality_filter(QualityFilter.NONE)):
        raise NoFace("The largest face does not pass the quality filter.")
    (matches,) = service.gallery.search_faces(call.collection_id, face.embedding[np.newaxis], **_face_terms(call))
    return {
        "SearchedFaceBoundingBox": bounding_box(face.box),
        "SearchedFaceConfidence": float32(face.confidence),
        "FaceMatches": face_matches(_seen(service, matches)),
        "FaceModelVersion": collection.model_version,
    }


def search_users(service: Service, call: Call) -> dict[str, Any]:
    collection = service.gallery.describe_collection(call.collection_id)
    user_id, face_id = call.params.get("UserId"), call.params.get("FaceId")
    if (user_id is None) == (face_id is None):
        raise invalid("SearchUsers needs exactly one of UserId and FaceId.")
    matches = service.gallery.search_user(call.collection_id, user_id=user_id, face_id=face_id, **_user_terms(call))
    searched = {"SearchedFace": {"FaceId": face_id}} if face_id else {"SearchedUser": {"UserId": user_id}}
    return {
        "UserMatches": user_matches(matches),
        "FaceModelVersion": collection.model_version,
    } | searched


def search_users_by_image(service: Service, call: Call) -> dict[str, Any]:
    """No face is no error here: no match, and no SearchedFace."""
    collection = service.gallery.describe_collection(call.collection_id)
    faces = service.engine.read(service.image(call.params["Image"]))
    level = call.quality_filter(QualityFilter.NONE)
    answer: dict[str, Any] = {"UserMatches": [], "FaceModelVersion": collection.model_version}
    others = faces
    if faces and not reasons(faces[0], level):
        (matches,) = service.gallery.search_users(
            call.collection_id, faces[0].embedding[np.newaxis], **_user_terms(call)
        )
        answer |= {"UserMatches": user_matches(matches), "SearchedFace": {"FaceDetail": face_detail(faces[0])}}
        others = faces[1:]
    return answer | {"UnsearchedFaces": [_unsearched(face, face is faces[0], level) for face in others]}


def _unsearched(face: Face, largest: bool, level: QualityFilter) -> dict[str, Any]:
    why = [] if largest else ["FACE_NOT_LARGEST"]
    return {"FaceDetails": face_detail(face), "Reasons": [*why, *map(str, reasons(face, level))]}


def _face_terms(call: Call) -> dict[str, Any]:
    return {
        "threshold": call.params.get("FaceMatchThreshold", THRESHOLD),
        "limit": call.params.get("MaxFaces", MOST_RESULTS),
    }


def _user_terms(call: Call) -> dict[str, Any]:
    return {
        "threshold": call.params.get("UserMatchThreshold", THRESHOLD),
        "limit": call.params.get("MaxUsers", MOST_USERS),
    }


def _seen(service: Service, matches: list[FaceMatch]) -> list[FaceMatch]:
    unseen = service.delay.unseen()
    return [match for match in matches if match.face.face_id not in unseen]
