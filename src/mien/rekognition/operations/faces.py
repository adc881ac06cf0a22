"""Answer the operations on faces: detect and compare them, and index, list, delete and search them in a collection.

A search by photo searches its largest face only. A face that does not pass the quality filter counts as no face.

Source: Amazon Rekognition API Reference, the page of each operation's name.
"""

from __future__ import annotations

from typing import Any

from mien.domain.errors import FaceNotFound, NoFace
from mien.domain.faces import FaceMatch, QualityFilter
from mien.domain.policy import MATCH_THRESHOLD, MAX_FACE_MATCHES
from mien.engine import filter_faces, rejection_reasons
from mien.gallery import compare, image_id
from mien.rekognition.errors import invalid
from mien.rekognition.serializers import (
    bounding_box,
    compared_face,
    face_detail,
    face_matches,
    float32,
    new_face,
    stored_face,
    unindexed_faces,
)
from mien.rekognition.service import MAX_PAGE_ITEMS, Answer, Call, Service


def detect_faces(service: Service, call: Call) -> Answer:
    """Return the faces in a photo, the largest first.

    Attributes is accepted and ignored: Mien has models for the DEFAULT attributes only.
    """
    faces = service.engine.detect(service.read_image(call.params["Image"]))
    return {"FaceDetails": [face_detail(face) for face in faces]}


def compare_faces(service: Service, call: Call) -> Answer:
    """Compare the source photo's largest face with every face in the target photo.

    Each target face that passes the quality filter is in exactly one of the two lists. Raises WireError:
    InvalidParameterException when either photo shows no face.
    """
    level = call.quality_filter(QualityFilter.NONE)
    source_image, target_image = (service.read_image(call.params[name]) for name in ("SourceImage", "TargetImage"))
    sources, targets = (service.engine.read(image, mirrored=True) for image in (source_image, target_image))
    if not sources or rejection_reasons(sources[0], level):
        raise invalid("The source image has no face that passes the filter.")
    if not targets:
        raise invalid("The target image has no face.")
    source, (candidates, _) = sources[0], filter_faces(targets, level)
    scored = [(compare(source.embedding, face.embedding), face) for face in candidates]
    scored.sort(key=lambda pair: pair[0], reverse=True)
    threshold = call.params.get("SimilarityThreshold", MATCH_THRESHOLD)
    return {
        "SourceImageFace": {"BoundingBox": bounding_box(source.box), "Confidence": float32(source.confidence)},
        "FaceMatches": [
            {"Similarity": float32(score), "Face": compared_face(face)} for score, face in scored if score >= threshold
        ],
        "UnmatchedFaces": [compared_face(face) for score, face in scored if score < threshold],
    }


def index_faces(service: Service, call: Call) -> Answer:
    """Store the faces in a photo that pass the quality filter; a photo without a face stores nothing.

    The collection is looked up before the image is read. Raises CollectionNotFound, and WireError or ImageError for
    the image.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    image = service.read_image(call.params["Image"])
    faces = service.engine.read(image, mirrored=True)
    kept, rejected = filter_faces(faces, call.quality_filter(QualityFilter.AUTO), call.params.get("MaxFaces"))
    stored = service.gallery.faces.index(
        call.collection_id,
        kept,
        image_id=image_id(image),
        external_image_id=call.params.get("ExternalImageId"),
    )
    service.consistency.hide(face.face_id for face in stored)
    return {
        "FaceRecords": [
            {"Face": new_face(face), "FaceDetail": face_detail(detection)}
            for face, detection in zip(stored, kept, strict=True)
        ],
        "FaceModelVersion": collection.model_version,
        "UnindexedFaces": unindexed_faces(rejected),
    }


def list_faces(service: Service, call: Call) -> Answer:
    """Return one page of a collection's faces, of one user or of given ids if asked. Raises CollectionNotFound."""
    collection = service.gallery.collections.describe(call.collection_id)
    page = service.gallery.faces.list(
        call.collection_id,
        user_id=call.params.get("UserId"),
        face_ids=call.params.get("FaceIds"),
        limit=call.page_limit(MAX_PAGE_ITEMS),
        token=call.page_token(),
    )
    return {
        "Faces": [stored_face(face) for face in page.items],
        "FaceModelVersion": collection.model_version,
    } | call.next_token(page)


def delete_faces(service: Service, call: Call) -> Answer:
    """Delete faces; unknown ones, and those of a user, are answered as unsuccessful. Raises CollectionNotFound."""
    deletion = service.gallery.faces.delete(call.collection_id, call.params["FaceIds"])
    return {
        "DeletedFaces": list(deletion.deleted),
        "UnsuccessfulFaceDeletions": [
            {"FaceId": face_id, "Reasons": [reason]} | ({"UserId": user_id} if user_id else {})
            for face_id, user_id, reason in deletion.failed
        ],
    }


def search_faces(service: Service, call: Call) -> Answer:
    """Return the other faces of a collection that match a stored face, most similar first.

    Raises CollectionNotFound, FaceNotFound.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    face_id = call.params["FaceId"]
    if face_id in service.consistency.hidden_faces():
        raise FaceNotFound("The face is too new to be found.")
    matches = service.gallery.search.similar_faces(call.collection_id, face_id, **_search_limits(call))
    return {
        "SearchedFaceId": face_id,
        "FaceMatches": face_matches(_without_hidden(service, matches)),
        "FaceModelVersion": collection.model_version,
    }


def search_faces_by_image(service: Service, call: Call) -> Answer:
    """Return the faces of a collection that match the largest face in a photo, most similar first.

    Raises CollectionNotFound, NoFace, and WireError or ImageError for the image.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    face = service.largest_face(service.read_image(call.params["Image"]))
    if rejection_reasons(face, call.quality_filter(QualityFilter.NONE)):
        raise NoFace("The largest face does not pass the quality filter.")
    (matches,) = service.gallery.search.faces(call.collection_id, [face.embedding], **_search_limits(call))
    return {
        "SearchedFaceBoundingBox": bounding_box(face.box),
        "SearchedFaceConfidence": float32(face.confidence),
        "FaceMatches": face_matches(_without_hidden(service, matches)),
        "FaceModelVersion": collection.model_version,
    }


def _search_limits(call: Call) -> dict[str, Any]:
    return {
        "threshold": call.params.get("FaceMatchThreshold", MATCH_THRESHOLD),
        "limit": call.params.get("MaxFaces", MAX_FACE_MATCHES),
    }


def _without_hidden(service: Service, matches: list[FaceMatch]) -> list[FaceMatch]:
    hidden = service.consistency.hidden_faces()
    return [match for match in matches if match.face.face_id not in hidden]
