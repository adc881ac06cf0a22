"""Answer the operations on users of a collection, who are people with up to 100 faces each.

AssociateFaces and DisassociateFaces answer the status UPDATING, as on AWS; here the user is already up to date.

Source: Amazon Rekognition API Reference, the page of each operation's name.
"""

from __future__ import annotations

from typing import Any

from mien.domain.faces import QualityFilter
from mien.domain.policy import ASSOCIATION_THRESHOLD, MATCH_THRESHOLD, MAX_USER_MATCHES
from mien.engine import Face, rejection_reasons
from mien.rekognition.errors import invalid
from mien.rekognition.serializers import face_detail, float32, user_matches
from mien.rekognition.service import MAX_PAGE_USERS, Answer, Call, Service

UPDATING = "UPDATING"


def create_user(service: Service, call: Call) -> Answer:
    """Create a user without faces. Raises CollectionNotFound, UserExists."""
    service.gallery.users.create(call.collection_id, call.params["UserId"])
    return {}


def delete_user(service: Service, call: Call) -> Answer:
    """Delete a user; the faces stay, without a user. Raises CollectionNotFound, UserNotFound."""
    service.gallery.users.delete(call.collection_id, call.params["UserId"])
    return {}


def list_users(service: Service, call: Call) -> Answer:
    """Return one page of a collection's users, the oldest first. Raises CollectionNotFound."""
    page = service.gallery.users.list(call.collection_id, call.page_limit(MAX_PAGE_USERS), call.page_token())
    users = [{"UserId": user.user_id, "UserStatus": user.status.value} for user in page.items]
    return {"Users": users} | call.next_token(page)


def associate_faces(service: Service, call: Call) -> Answer:
    """Add faces to a user; those of another user and those that are too unlike are answered as unsuccessful.

    Raises CollectionNotFound, UserNotFound, and LimitExceeded above 100 faces per user.
    """
    association = service.gallery.users.associate(
        call.collection_id,
        call.params["UserId"],
        call.params["FaceIds"],
        threshold=call.params.get("UserMatchThreshold", ASSOCIATION_THRESHOLD),
    )
    return {
        "AssociatedFaces": [{"FaceId": face_id} for face_id in association.associated],
        "UnsuccessfulFaceAssociations": [_failure(*failure) for failure in association.failed],
        "UserStatus": UPDATING,
    }


def disassociate_faces(service: Service, call: Call) -> Answer:
    """Remove faces from a user; they stay in the collection. Raises CollectionNotFound, UserNotFound."""
    disassociation = service.gallery.users.disassociate(
        call.collection_id, call.params["UserId"], call.params["FaceIds"]
    )
    return {
        "DisassociatedFaces": [{"FaceId": face_id} for face_id in disassociation.disassociated],
        "UnsuccessfulFaceDisassociations": [
            _failure(face_id, user_id, None, reason) for face_id, user_id, reason in disassociation.failed
        ],
        "UserStatus": UPDATING,
    }


def search_users(service: Service, call: Call) -> Answer:
    """Return the users of a collection that match a stored face, or the other users that match a user.

    Raises CollectionNotFound, FaceNotFound, UserNotFound, and WireError: InvalidParameterException unless exactly one
    of UserId and FaceId is given.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    user_id, face_id = call.params.get("UserId"), call.params.get("FaceId")
    if (user_id is None) == (face_id is None):
        raise invalid("SearchUsers needs exactly one of UserId and FaceId.")
    matches = service.gallery.search.similar_users(
        call.collection_id, user_id=user_id, face_id=face_id, **_search_limits(call)
    )
    searched = {"SearchedFace": {"FaceId": face_id}} if face_id else {"SearchedUser": {"UserId": user_id}}
    return {
        "UserMatches": user_matches(matches),
        "FaceModelVersion": collection.model_version,
    } | searched


def search_users_by_image(service: Service, call: Call) -> Answer:
    """Return the users of a collection that match the largest face in a photo.

    A photo without a face is not an error here: the answer then has no match and no SearchedFace. Raises
    CollectionNotFound, and WireError or ImageError for the image.
    """
    collection = service.gallery.collections.describe(call.collection_id)
    faces = service.engine.read(service.read_image(call.params["Image"]))
    level = call.quality_filter(QualityFilter.NONE)
    answer: Answer = {"UserMatches": [], "FaceModelVersion": collection.model_version}
    unsearched = faces
    if faces and not rejection_reasons(faces[0], level):
        probes = [faces[0].embedding]
        (matches,) = service.gallery.search.users(call.collection_id, probes, **_search_limits(call))
        answer |= {"UserMatches": user_matches(matches), "SearchedFace": {"FaceDetail": face_detail(faces[0])}}
        unsearched = faces[1:]
    return answer | {"UnsearchedFaces": [_unsearched(face, face is faces[0], level) for face in unsearched]}


def _failure(face_id: str, user_id: str | None, confidence: float | None, reason: str) -> dict[str, Any]:
    failure: dict[str, Any] = {"FaceId": face_id, "Reasons": [reason]}
    if user_id is not None:
        failure["UserId"] = user_id
    if confidence is not None:
        failure["Confidence"] = float32(confidence)
    return failure


def _unsearched(face: Face, is_largest: bool, level: QualityFilter) -> dict[str, Any]:
    reasons = [] if is_largest else ["FACE_NOT_LARGEST"]
    return {"FaceDetails": face_detail(face), "Reasons": [*reasons, *map(str, rejection_reasons(face, level))]}


def _search_limits(call: Call) -> dict[str, Any]:
    return {
        "threshold": call.params.get("UserMatchThreshold", MATCH_THRESHOLD),
        "limit": call.params.get("MaxUsers", MAX_USER_MATCHES),
    }
