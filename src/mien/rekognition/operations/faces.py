"""Faces of a collection: index, list, delete."""

from __future__ import annotations

from typing import Any

from mien.domain.faces import QualityFilter
from mien.engine.quality import select
from mien.gallery.store.rows import image_id
from mien.rekognition.serializers import face_detail, new_face, stored_face, unindexed_faces
from mien.rekognition.service import MOST_RESULTS, Call, Service, next_token, page_limit, page_token


def index_faces(service: Service, call: Call) -> dict[str, Any]:
    """The collection is looked up before the image. No face is no error."""
    collection = service.gallery.describe_collection(call.collection_id)
    image = service.image(call.params["Image"])
    kept, left_out = select(
        service.engine.read(image), call.quality_filter(QualityFilter.AUTO), call.params.get("MaxFaces")
    )
    stored = service.gallery.index_faces(
        call.collection_id,
        kept,
        image_id=image_id(image),
        external_image_id=call.params.get("ExternalImageId"),
    )
    service.delay.note(face.face_id for face in stored)
    return {
        "FaceRecords": [
            {"Face": new_face(face), "FaceDetail": face_detail(found)} for face, found in zip(stored, kept, strict=True)
        ],
        "FaceModelVersion": collection.model_version,
        "UnindexedFaces": unindexed_faces(left_out),
    }


def list_faces(service: Service, call: Call) -> dict[str, Any]:
    collection = service.gallery.describe_collection(call.collection_id)
    page = service.gallery.list_faces(
        call.collection_id,
        user_id=call.params.get("UserId"),
        face_ids=call.params.get("FaceIds"),
        limit=page_limit(call, MOST_RESULTS),
        token=page_token(call),
    )
    return {
        "Faces": [stored_face(face) for face in page.items],
        "FaceModelVersion": collection.model_version,
    } | next_token(call, page)


def delete_faces(service: Service, call: Call) -> dict[str, Any]:
    done = service.gallery.delete_faces(call.collection_id, call.params["FaceIds"])
    return {
        "DeletedFaces": list(done.deleted),
        "UnsuccessfulFaceDeletions": [
            {"FaceId": face_id, "Reasons": [reason]} | ({"UserId": user_id} if user_id else {})
            for face_id, user_id, reason in done.failed
        ],
    }
