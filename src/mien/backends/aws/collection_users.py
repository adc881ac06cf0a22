"""Manage the users of a Rekognition collection and their faces.

User ids here are Rekognition's, made by `mien.domain.object_keys`. A user has at most 100 faces. A face of a user
cannot be deleted, so it is disassociated from the user first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from mien.backends.aws.clients import BACKOFF, batches, code, retry_on
from mien.domain.errors import Overloaded

ASSOCIATE_BATCH = 100
DELETE_BATCH = 4096


def names_collection(error: ClientError) -> bool:
    """Tell whether it is the collection that an operation on a user has not found."""
    return str(error.response["Error"].get("Message", "")).lower().startswith("the collection")


class CollectionUsers:
    """Creates and deletes users, and associates faces with them."""

    def __init__(self, client: Any, collection_id: str) -> None:
        """Use a collection that exists; `client` is a boto3 client of Rekognition."""
        self._rekognition, self._collection = client, collection_id

    def add(self, user: str, face_ids: Sequence[str]) -> frozenset[str]:
        """Associate faces with a user, who is created when missing; return the ids of those that are associated."""
        added: frozenset[str] = frozenset()
        for portion in batches(face_ids, ASSOCIATE_BATCH):
            try:
                added |= self._associate(user, portion)
            except ClientError as error:
                if code(error) != "ResourceNotFoundException" or names_collection(error):
                    raise
                self._create(user)  # a person's first photo
                added |= self._associate(user, portion)
        return added

    def _create(self, user: str) -> None:
        try:
            self._rekognition.create_user(CollectionId=self._collection, UserId=user)
        except ClientError as error:
            if code(error) != "ConflictException":  # the user is there already
                raise

    def delete_user(self, user: str) -> None:
        """Delete a user, if there is one. Its faces stay in the collection."""
        try:
            retry_on(
                "ConflictException",
                lambda: self._rekognition.delete_user(CollectionId=self._collection, UserId=user),
            )
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise

    def delete_faces(self, face_ids: Sequence[str]) -> int:
        """Delete faces, whosever they are; return how many there were."""
        return sum(self._delete(portion) for portion in batches(face_ids, DELETE_BATCH))

    def _associate(self, user: str, face_ids: Sequence[str]) -> frozenset[str]:
        try:
            response = retry_on(
                "ConflictException",
                lambda: self._rekognition.associate_faces(
                    CollectionId=self._collection, UserId=user, FaceIds=list(face_ids)
                ),
            )
        except ClientError as error:
            if code(error) != "ServiceQuotaExceededException":
                raise
            if len(face_ids) == 1:
                return frozenset()
            half = len(face_ids) // 2
            return self._associate(user, face_ids[:half]) | self._associate(user, face_ids[half:])
        # A face that was the user's already is in neither list of the response, so those that did not fail count.
        return frozenset(face_ids) - {face["FaceId"] for face in response["UnsuccessfulFaceAssociations"]}

    def _delete(self, face_ids: Sequence[str]) -> int:
        deleted, remaining = 0, list(face_ids)
        for _ in BACKOFF:
            response = self._rekognition.delete_faces(CollectionId=self._collection, FaceIds=remaining)
            deleted += len(response["DeletedFaces"])
            owners = {
                face["FaceId"]: face["UserId"]
                for face in response.get("UnsuccessfulFaceDeletions", ())
                if face.get("UserId")
            }
            if not owners:
                return deleted
            self._release(owners)
            remaining = list(owners)
        raise Overloaded("Rekognition still associates a face with a person; try again.")

    def _release(self, owners: dict[str, str]) -> None:
        for user in set(owners.values()):
            theirs = [face_id for face_id, owner in owners.items() if owner == user]
            for portion in batches(theirs, ASSOCIATE_BATCH):
                self._disassociate(user, portion)

    def _disassociate(self, user: str, face_ids: Sequence[str]) -> None:
        retry_on(
            "ConflictException",
            lambda: self._rekognition.disassociate_faces(
                CollectionId=self._collection, UserId=user, FaceIds=list(face_ids)
            ),
        )
