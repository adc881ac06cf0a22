"""Who is this? Faces and users of a collection that are like a stored face, a stored user, or a photo.

Of a photo, only the largest face is searched. A face that the quality filter keeps out counts as no face.

The operations that remember nothing: DetectFaces and CompareFaces.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.domain.errors import FaceNotFound, NoFace
from mien.domain.faces import FaceMatch, QualityFilter
from mien.domain.limits import MATCH_THRESHOLD, MAX_FACE_MATCHES, MAX_USER_MATCHES
from mien.engine import Face
from mien.engine.quality import reasons, select
from mien.gallery.scoring import similarity
from mien.rekognition.errors import invalid
from mien.rekognition.serializers import bounding_box, compared_face, face_detail, face_matches, float32, user_matches
from mien.rekognition.service import Call, Service


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
        "threshold": call.params.get("FaceMatchThreshold", MATCH_THRESHOLD),
        "limit": call.params.get("MaxFaces", MAX_FACE_MATCHES),
    }


def _user_terms(call: Call) -> dict[str, Any]:
    return {
        "threshold": call.params.get("UserMatchThreshold", MATCH_THRESHOLD),
        "limit": call.params.get("MaxUsers", MAX_USER_MATCHES),
    }


def _seen(service: Service, matches: list[FaceMatch]) -> list[FaceMatch]:
    unseen = service.delay.unseen()
    return [match for match in matches if match.face.face_id not in unseen]


def detect_faces(service: Service, call: Call) -> dict[str, Any]:
    """Whatever Attributes asks for, the answer holds the DEFAULT ones: there is no model for the others."""
    faces = service.engine.detect(service.image(call.params["Image"]))
    return {"FaceDetails": [face_detail(face) for face in faces]}


def compare_faces(service: Service, call: Call) -> dict[str, Any]:
    """The source's largest face against every face of the target, each in exactly one of the two lists."""
    level = call.quality_filter(QualityFilter.NONE)
    source_image, target_image = (service.image(call.params[name]) for name in ("SourceImage", "TargetImage"))
    sources, targets = service.engine.read(source_image), service.engine.read(target_image)
    if not sources or reasons(sources[0], level):
        raise invalid("The source image has no face that passes the filter.")
    if not targets:
        raise invalid("The target image has no face.")
    source, (passed, _) = sources[0], select(targets, level)
    scored = sorted(((_alike(source, face), face) for face in passed), key=lambda pair: pair[0], reverse=True)
    threshold = call.params.get("SimilarityThreshold", MATCH_THRESHOLD)
    return {
        "SourceImageFace": {
            "BoundingBox": bounding_box(source.box),
            "Confidence": float32(source.confidence),
        },
        "FaceMatches": [
            {"Similarity": float32(score), "Face": compared_face(face)} for score, face in scored if score >= threshold
        ],
        "UnmatchedFaces": [compared_face(face) for score, face in scored if score < threshold],
    }


def _alike(one: Face, other: Face) -> float:
    return float(similarity(np.asarray(one.embedding @ other.embedding)))
