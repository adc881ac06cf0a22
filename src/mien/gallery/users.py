"""Create, delete and list users: people of a collection, with at most 100 faces and one aggregated embedding each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from mien.domain.errors import LimitExceeded, UserExists
from mien.domain.faces import Page, User, UserStatus
from mien.domain.policy import ASSOCIATION_THRESHOLD, MAX_FACES_PER_USER
from mien.gallery import validation
from mien.gallery.collections import CollectionAccess
from mien.gallery.faces import Refusal, Refused
from mien.gallery.scoring import aggregate, similarity
from mien.gallery.store.database import Reader, Transaction
from mien.gallery.store.queries import Pager, faces_by_id, find_user, list_users, vector_of_user, vectors_of_faces
from mien.gallery.store.rows import CollectionRow, FaceRow, UserRow
from mien.gallery.store.schema import first_row
from mien.gallery.store.source import user_vectors
from mien.gallery.vector_index import Vectors
from mien.gallery.vector_index.kernels import cosines

_RowNumbers = list[int]


class RefusedAssociation(NamedTuple):
    """A face that was not associated.

    `user_id` names its user where that is the reason; `confidence` is its similarity to the user, 0 to 100, where that
    is the reason.
    """

    face_id: str
    user_id: str | None
    confidence: float | None
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Association:
    """The ids of the faces that the user gained, the faces that were refused, and the user's status now."""

    associated: tuple[str, ...]
    failed: tuple[RefusedAssociation, ...]
    status: UserStatus


@dataclass(frozen=True, slots=True)
class Disassociation:
    """The ids of the faces that the user lost, the faces that were refused, and the user's status now."""

    disassociated: tuple[str, ...]
    failed: tuple[Refused, ...]
    status: UserStatus


class Users:
    """The operations on users. See `Gallery` for the errors that all operations raise."""

    def __init__(self, access: CollectionAccess) -> None:
        self._access = access
        self._database = access.database

    def create(self, collection_id: str, user_id: str) -> None:
        """Create a user without faces.

        Args:
            collection_id: The collection.
            user_id: 1 to 128 letters, digits, "_", ".", "-" and ":".

        Raises:
            UserExists: The id is taken.
        """
        validation.name("user id", user_id)
        with self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            if transaction.read(
                "SELECT 1 FROM user WHERE user_id = ? AND row > ? AND row < ?", (user_id, *collection.span)
            ):
                raise UserExists(f"The user {user_id} exists already in the collection {collection_id}.")
            row = first_row(collection.key) + collection.users_added + 1
            transaction.execute("INSERT INTO user (row, user_id) VALUES (?, ?)", (row, user_id))
            transaction.execute(
                "UPDATE collection SET users_added = users_added + 1, user_count = user_count + 1 WHERE key = ?",
                (collection.key,),
            )

    def delete(self, collection_id: str, user_id: str) -> None:
        """Delete a user; the faces stay and belong to nobody. Raises UserNotFound."""
        with self._deletion(collection_id) as deleted, self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            user = find_user(transaction, collection, user_id)
            deleted += _vectors(user)
            transaction.execute("UPDATE face SET user = NULL WHERE user = ?", (user.row,))
            transaction.execute("DELETE FROM user WHERE row = ?", (user.row,))
            transaction.execute("UPDATE collection SET user_count = user_count - 1 WHERE key = ?", (collection.key,))
            transaction.execute("DELETE FROM user_vector WHERE row = ?", (user.vector,))

    def list(self, collection_id: str, limit: int | None = None, token: str | None = None) -> Page[User]:
        """List users in the order of their creation.

        Args:
            collection_id: The collection.
            limit: Users on a page, 1 or more; None for all.
            token: `next_token` of the page before.
        """
        collection = self._access.find(collection_id)
        pager = Pager(limit, token, "users", collection.key)
        first, end = collection.span
        users = list_users(self._database, (max(first, pager.after), end), pager.fetch)
        return pager.page(users, UserRow.stored, lambda user: user.row)

    def associate(
        self, collection_id: str, user_id: str, face_ids: Sequence[str], *, threshold: float = ASSOCIATION_THRESHOLD
    ) -> Association:
        """Give faces to a user.

        Faces that the user has already are neither associated nor refused. Where the user has faces, a new one must be
        similar to the user's embedding as it was before the call.

        Args:
            collection_id: A collection of this gallery's model.
            user_id: A user that exists.
            face_ids: Faces of the collection; unknown ids and other users' faces are refused.
            threshold: The lowest similarity to the user, 0 to 100.

        Raises:
            UserNotFound: There is no such user.
            LimitExceeded: The user would have more than 100 faces; nothing is changed.
        """
        validation.percent(threshold)
        with self._deletion(collection_id, wait=False) as deleted, self._database.write() as transaction:
            collection = self._access.find_comparable(collection_id, transaction)
            user = find_user(transaction, collection, user_id)
            known = faces_by_id(transaction, collection, face_ids)
            free = {face_id: face for face_id, face in known.items() if face.user is None}
            scores = _similarities(transaction, collection, user, free)
            gained = [face_id for face_id in free if scores[face_id] >= threshold]
            if user.face_count + len(gained) > MAX_FACES_PER_USER:
                raise LimitExceeded(f"A user has at most {MAX_FACES_PER_USER} faces.")
            count = _set_user(transaction, collection, user, user.row, [free[face_id].row for face_id in gained])
            deleted += _vectors(user) if gained else []
        failed = [
            refusal
            for face_id in dict.fromkeys(face_ids)
            if (refusal := _not_associated(face_id, user, known.get(face_id), scores.get(face_id), threshold))
        ]
        return Association(tuple(gained), tuple(failed), _status(count))

    def disassociate(self, collection_id: str, user_id: str, face_ids: Sequence[str]) -> Disassociation:
        """Take faces from a user.

        A face that belongs to nobody is refused as one that does not exist.

        Raises:
            UserNotFound: There is no such user.
        """
        with self._deletion(collection_id, wait=False) as deleted, self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            user = find_user(transaction, collection, user_id)
            known = faces_by_id(transaction, collection, face_ids)
            lost = {face_id: face.row for face_id, face in known.items() if face.user == user.row}
            count = _set_user(transaction, collection, user, None, list(lost.values()))
            deleted += _vectors(user) if lost else []
        failed = [
            _not_disassociated(face_id, known.get(face_id))
            for face_id in dict.fromkeys(face_ids)
            if face_id not in lost
        ]
        return Disassociation(tuple(lost), tuple(failed), _status(count))

    def _deletion(self, collection_id: str, *, wait: bool = True) -> AbstractContextManager[_RowNumbers]:
        return self._access.deletion(user_vectors(self._access.find(collection_id).key), wait=wait)


def _vectors(user: UserRow) -> _RowNumbers:
    return [] if user.vector is None else [user.vector]


def _similarities(
    reader: Reader, collection: CollectionRow, user: UserRow, faces: dict[str, FaceRow]
) -> dict[str, float]:
    """Return the similarity of each face to the user; 100 where the user has no faces yet."""
    own = vector_of_user(reader, user)
    if own is None:
        return dict.fromkeys(faces, 100.0)
    vectors = vectors_of_faces(reader, [face.row for face in faces.values()])
    scores = similarity(cosines(own, vectors), collection.calibration)
    return dict(zip(faces, scores.tolist(), strict=True))


def _set_user(
    transaction: Transaction, collection: CollectionRow, user: UserRow, owner: int | None, rows: list[int]
) -> int:
    """Give the faces of these rows to `owner` and renew the user's embedding; return how many faces the user has."""
    if not rows:
        return user.face_count
    transaction.execute(
        "UPDATE face SET user = ? WHERE row IN (SELECT value FROM json_each(?))", (owner, json.dumps(rows))
    )
    members = [row for (row,) in transaction.read("SELECT row FROM face WHERE user = ?", (user.row,))]
    vector = aggregate(vectors_of_faces(transaction, members)) if members else None
    _set_vector(transaction, collection, user, vector)
    transaction.execute("UPDATE user SET face_count = ? WHERE row = ?", (len(members), user.row))
    return len(members)


def _set_vector(transaction: Transaction, collection: CollectionRow, user: UserRow, vector: Vectors | None) -> None:
    """Replace the user's embedding; a changed vector is a new row (see `schema`)."""
    transaction.execute("DELETE FROM user_vector WHERE row = ?", (user.vector,))
    row = None if vector is None else first_row(collection.key) + collection.vectors_added + 1
    if vector is not None:
        transaction.execute("INSERT INTO user_vector VALUES (?, ?, ?)", (row, vector.tobytes(), user.row))
        transaction.execute("UPDATE collection SET vectors_added = vectors_added + 1 WHERE key = ?", (collection.key,))
    transaction.execute("UPDATE user SET vector = ? WHERE row = ?", (row, user.row))


def _not_associated(
    face_id: str, user: UserRow, face: FaceRow | None, score: float | None, threshold: float
) -> RefusedAssociation | None:
    if face is None:
        return RefusedAssociation(face_id, None, None, Refusal.FACE_NOT_FOUND)
    if face.user not in {None, user.row}:
        return RefusedAssociation(face_id, face.user_id, None, Refusal.ASSOCIATED_TO_A_DIFFERENT_USER)
    if score is not None and score < threshold:
        return RefusedAssociation(face_id, None, score, Refusal.LOW_MATCH_CONFIDENCE)
    return None


def _not_disassociated(face_id: str, face: FaceRow | None) -> Refused:
    if face is None or face.user is None:
        return Refused(face_id, None, Refusal.FACE_NOT_FOUND)
    return Refused(face_id, face.user_id, Refusal.ASSOCIATED_TO_A_DIFFERENT_USER)


def _status(face_count: int) -> UserStatus:
    return UserStatus.ACTIVE if face_count else UserStatus.CREATED
