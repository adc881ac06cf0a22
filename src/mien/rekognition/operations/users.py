"""Users of a collection: people, each with up to 100 faces.

Associating and disassociating answer UPDATING, as AWS does; here the user is already up to date.
"""

from __future__ import annotations

from typing import Any

from mien.domain.limits import ASSOCIATION_THRESHOLD
from mien.rekognition.serializers import float32
from mien.rekognition.service import MOST_USERS, Call, Service, next_token, page_limit, page_token

CHANGING = "UPDATING"


def create_user(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.create_user(call.collection_id, call.params["UserId"])
    return {}


def delete_user(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.delete_user(call.collection_id, call.params["UserId"])
    return {}


def list_users(service: Service, call: Call) -> dict[str, Any]:
    page = service.gallery.list_users(call.collection_id, page_limit(call, MOST_USERS), page_token(call))
    users = [{"UserId": user.user_id, "UserStatus": user.status.value} for user in page.items]
    return {"Users": users} | next_token(call, page)


def associate_faces(service: Service, call: Call) -> dict[str, Any]:
    done = service.gallery.associate_faces(
        call.collection_id,
        call.params["UserId"],
        call.params["FaceIds"],
        threshold=call.params.get("UserMatchThreshold", ASSOCIATION_THRESHOLD),
    )
    return {
        "AssociatedFaces": [{"FaceId": face_id} for face_id in done.associated],
        "UnsuccessfulFaceAssociations": [_failure(*failed) for failed in done.failed],
        "UserStatus": CHANGING,
    }


def disassociate_faces(service: Service, call: Call) -> dict[str, Any]:
    done = service.gallery.disassociate_faces(call.collection_id, call.params["UserId"], call.params["FaceIds"])
    return {
        "DisassociatedFaces": [{"FaceId": face_id} for face_id in done.disassociated],
        "UnsuccessfulFaceDisassociations": [
            _failure(face_id, user_id, None, reason) for face_id, user_id, reason in done.failed
        ],
        "UserStatus": CHANGING,
    }


def _failure(face_id: str, user_id: str | None, confidence: float | None, reason: str) -> dict[str, Any]:
    failure: dict[str, Any] = {"FaceId": face_id, "Reasons": [reason]}
    if user_id is not None:
        failure["UserId"] = user_id
    if confidence is not None:
        failure["Confidence"] = float32(confidence)
    return failure
