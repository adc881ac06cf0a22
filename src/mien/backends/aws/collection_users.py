"""Users of a Rekognition collection and the faces that count as theirs.

Names here are Rekognition's (`names.recognizer_name`). A face that belongs to a user cannot be deleted,
so it is taken from the user first; a user holds at most 100 faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from mien.backends.aws.calls import BACKOFF, batches, code, retry_on
from mien.domain.errors import Overloaded

ASSOCIATE_AT_ONCE = 100
DELETE_AT_ONCE = 4096


class CollectionUsers:
    """Who belongs to whom in one collection."""

    def __init__(self, client: Any, collection_id: str) -> None:
        self._rekognition, self._collection = client, collection_id

    def add(self, user: str, face_ids: Sequence[str]) -> frozenset[str]:
        """Make the faces the user's, and say which are."""
        try:
            self._rekognition.create_user(CollectionId=self._collection, UserId=user)
        except ClientError as error:
            if code(error) != "ConflictException":  # the user is there already
                raise
        added: frozenset[str] = frozenset()
        for portion in batches(face_ids, ASSOCIATE_AT_ONCE):
            added |= self._associate(user, portion)
        return added

    def delete_user(self, user: str) -> None:
        try:
            retry_on(
                lambda: self._rekognition.delete_user(CollectionId=self._collection, UserId=user),
                "ConflictException",
            )
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise

    def delete_faces(self, face_ids: Sequence[str]) -> int:
        """Also from their users. Says how many were there."""
        return sum(self._delete(portion) for portion in batches(face_ids, DELETE_AT_ONCE))

    def _associate(self, user: str, face_ids: Sequence[str]) -> frozenset[str]:
        """A face that is the user's already is in neither list of the answer: what did not fail counts."""
        try:
            answer = retry_on(
                lambda: self._rekognition.associate_faces(
                    CollectionId=self._collection, UserId=user, FaceIds=list(face_ids)
                ),
                "ConflictException",
            )
        except ClientError as error:
            if code(error) != "ServiceQuotaExceededException":
                raise
            if len(face_ids) == 1:
                return frozenset()
            half = len(face_ids) // 2
            return self._associate(user, face_ids[:half]) | self._associate(user, face_ids[half:])
        return frozenset(face_ids) - {face["FaceId"] for face in answer["UnsuccessfulFaceAssociations"]}

    def _delete(self, face_ids: Sequence[str]) -> int:
        deleted, remaining = 0, list(face_ids)
        for _ in BACKOFF:
            answer = self._rekognition.delete_faces(CollectionId=self._collection, FaceIds=remaining)
            deleted += len(answer["DeletedFaces"])
            owners = {
                face["FaceId"]: face["UserId"]
                for face in answer.get("UnsuccessfulFaceDeletions", ())
                if face.get("UserId")
            }
            if not owners:
                return deleted
            self._release(owners)
            remaining = list(owners)
        raise Overloaded("Rekognition still counts a face as a person's; try again.")

    def _release(self, owners: dict[str, str]) -> None:
        for user in set(owners.values()):
            theirs = [face_id for face_id, owner in owners.items() if owner == user]
            for portion in batches(theirs, ASSOCIATE_AT_ONCE):
                self._disassociate(user, portion)

    def _disassociate(self, user: str, face_ids: Sequence[str]) -> None:
        retry_on(
            lambda: self._rekognition.disassociate_faces(
                CollectionId=self._collection, UserId=user, FaceIds=list(face_ids)
            ),
            "ConflictException",
        )
