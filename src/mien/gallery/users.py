"""Users: people of a collection, each with at most 100 faces and the one embedding that stands for them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mien.domain.errors import LimitExceeded, UserExists
from mien.domain.faces import Page, User, UserStatus
from mien.domain.limits import ASSOCIATION_THRESHOLD, MAX_FACES_PER_USER
from mien.gallery import validation
from mien.gallery.results import Association, Disassociation, Refusal, Refused, RefusedAssociation
from mien.gallery.scoring import aggregate, similarity
from mien.gallery.store.access import CollectionAccess, CollectionRow
from mien.gallery.store.database import Reader, Transaction
from mien.gallery.store.rows import AMONG, USERS, FaceRow, UserRow, faces_by_id, find_user, span, vector_of, vectors_of
from mien.gallery.store.schema import first_row
from mien.gallery.validation import Pager
from mien.gallery.vector_index import Vectors
from mien.gallery.vector_index.kernels import cosines


class Users(CollectionAccess):
    def create_user(self, collection_id: str, user_id: str) -> None:
        """A user without faces. Raises UserExists."""
        validation.name("user id", user_id)
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            if transaction.read(
                "SELECT 1 FROM user WHERE user_id = ? AND row > ? AND row < ?", (user_id, *span(record))
            ):
                raise UserExists(f"The user {user_id} exists already in the collection {collection_id}.")
            row = first_row(record.key) + record.users_added + 1
            transaction.execute("INSERT INTO user (row, user_id) VALUES (?, ?)", (row, user_id))
            transaction.execute(
                "UPDATE collection SET users_added = users_added + 1, user_count = user_count + 1 WHERE key = ?",
                (record.key,),
            )

    def delete_user(self, collection_id: str, user_id: str) -> None:
        """The user goes, the faces stay and belong to nobody. Raises UserNotFound."""
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            user = find_user(transaction, record, user_id)
            transaction.execute("UPDATE face SET user = NULL WHERE user = ?", (user.row,))
            transaction.execute("DELETE FROM user WHERE row = ?", (user.row,))
            transaction.execute("UPDATE collection SET user_count = user_count - 1 WHERE key = ?", (record.key,))
            transaction.execute("DELETE FROM user_vector WHERE row = ?", (user.vector,))

    def list_users(self, collection_id: str, limit: int | None = None, token: str | None = None) -> Page[User]:
        """In order of creation; without a limit, all."""
        record = self._collection(collection_id)
        pager = Pager(limit, token, "users", record.key)
        first, end = span(record)
        rows = self._database.read(
            f"{USERS} WHERE row > ? AND row < ? ORDER BY row LIMIT ?", (max(first, pager.after), end, pager.fetch)
        )
        return pager.page([UserRow(*row) for row in rows], UserRow.stored, lambda user: user.row)

    def associate_faces(
        self, collection_id: str, user_id: str, face_ids: Sequence[str], *, threshold: float = ASSOCIATION_THRESHOLD
    ) -> Association:
        """Give faces to a user; those that are the user's already stand in neither list.

        Where the user has faces, a new one must be like the user as they were before the call. Raises
        UserNotFound, and LimitExceeded, with nothing changed, when the user would have more than 100 faces.
        """
        validation.percent(threshold)
        with self._database.write() as transaction:
            record = self._comparable(collection_id, transaction)
            user = find_user(transaction, record, user_id)
            known = faces_by_id(transaction, record, face_ids)
            free = {face_id: face for face_id, face in known.items() if face.user is None}
            likeness = _likeness(transaction, record, user, free)
            taken = [face_id for face_id in free if likeness[face_id] >= threshold]
            if user.face_count + len(taken) > MAX_FACES_PER_USER:
                raise LimitExceeded(f"A user has at most {MAX_FACES_PER_USER} faces.")
            count = _set_user(transaction, record, user, user.row, [free[face_id].row for face_id in taken])
        failed = [
            refusal
            for face_id in dict.fromkeys(face_ids)
            if (refusal := _not_associated(face_id, user, known.get(face_id), likeness.get(face_id), threshold))
        ]
        return Association(tuple(taken), tuple(failed), _status(count))

    def disassociate_faces(self, collection_id: str, user_id: str, face_ids: Sequence[str]) -> Disassociation:
        """Take faces from a user. A face that belongs to nobody is refused like one that is not there."""
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            user = find_user(transaction, record, user_id)
            known = faces_by_id(transaction, record, face_ids)
            own = {face_id: face.row for face_id, face in known.items() if face.user == user.row}
            count = _set_user(transaction, record, user, None, list(own.values()))
        failed = [
            _not_disassociated(face_id, known.get(face_id)) for face_id in dict.fromkeys(face_ids) if face_id not in own
        ]
        return Disassociation(tuple(own), tuple(failed), _status(count))


def _likeness(reader: Reader, record: CollectionRow, user: UserRow, faces: dict[str, FaceRow]) -> dict[str, float]:
    """The similarity of each face with the user; 100 where the user has no faces yet."""
    own = vector_of(reader, user)
    if own is None:
        return dict.fromkeys(faces, 100.0)
    vectors = vectors_of(reader, [face.row for face in faces.values()])
    scores = similarity(cosines(own, vectors), record.calibration)
    return dict(zip(faces, scores.tolist(), strict=True))


def _set_user(
    transaction: Transaction, record: CollectionRow, user: UserRow, owner: int | None, rows: list[int]
) -> int:
    """Give the faces of these rows to the owner and renew the user's embedding; how many faces the user then has."""
    if not rows:
        return user.face_count
    transaction.execute(f"UPDATE face SET user = ? WHERE row {AMONG}", (owner, json.dumps(rows)))
    members = [row for (row,) in transaction.read("SELECT row FROM face WHERE user = ?", (user.row,))]
    _set_vector(transaction, record, user, aggregate(vectors_of(transaction, members)) if members else None)
    transaction.execute("UPDATE user SET face_count = ? WHERE row = ?", (len(members), user.row))
    return len(members)


def _set_vector(transaction: Transaction, record: CollectionRow, user: UserRow, vector: Vectors | None) -> None:
    """A changed vector is a new row; see `schema`."""
    transaction.execute("DELETE FROM user_vector WHERE row = ?", (user.vector,))
    row = None if vector is None else first_row(record.key) + record.vectors_added + 1
    if vector is not None:
        transaction.execute("INSERT INTO user_vector VALUES (?, ?, ?)", (row, vector.tobytes(), user.row))
        transaction.execute("UPDATE collection SET vectors_added = vectors_added + 1 WHERE key = ?", (record.key,))
    transaction.execute("UPDATE user SET vector = ? WHERE row = ?", (row, user.row))


def _not_associated(
    face_id: str, user: UserRow, face: FaceRow | None, likeness: float | None, threshold: float
) -> RefusedAssociation | None:
    if face is None:
        return RefusedAssociation(face_id, None, None, Refusal.FACE_NOT_FOUND)
    if face.user not in {None, user.row}:
        return RefusedAssociation(face_id, face.user_id, None, Refusal.ASSOCIATED_TO_A_DIFFERENT_USER)
    if likeness is not None and likeness < threshold:
        return RefusedAssociation(face_id, None, likeness, Refusal.LOW_MATCH_CONFIDENCE)
    return None


def _not_disassociated(face_id: str, face: FaceRow | None) -> Refused:
    if face is None or face.user is None:
        return Refused(face_id, None, Refusal.FACE_NOT_FOUND)
    return Refused(face_id, face.user_id, Refusal.ASSOCIATED_TO_A_DIFFERENT_USER)


def _status(face_count: int) -> UserStatus:
    return UserStatus.ACTIVE if face_count else UserStatus.CREATED
