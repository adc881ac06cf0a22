"""Read faces, users and their embeddings from the database, and cut listings into pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from mien.domain.errors import FaceNotFound, InvalidInput, UserNotFound
from mien.domain.faces import Page
from mien.gallery import validation
from mien.gallery.store.database import NO_LIMIT, Reader, damaged_record
from mien.gallery.store.rows import EMBEDDING_BYTES, CollectionRow, FaceRow, UserRow, bytes_to_uuid, embeddings
from mien.gallery.vector_index import Vectors

T = TypeVar("T")
R = TypeVar("R")

_DIGEST_BYTES, _ROW_BYTES = 12, 8


class Pager:
    """Cuts one listing into pages.

    A page token is opaque, names the row after which the next page begins, and belongs to the listing that made it.

    Args:
        limit: Items on a page; None for all.
        token: Where the page begins; None for the first one.
        listing: What identifies the listing: operation, collection, filters. JSON values.

    Raises:
        InvalidInput: The limit is below 1, or another listing made the token.
    """

    def __init__(self, limit: int | None, token: str | None, *listing: object) -> None:
        self._listing = hashlib.blake2b(json.dumps(listing).encode(), digest_size=_DIGEST_BYTES).digest()
        self._limit = validation.positive_limit(limit)
        self.after = self._row(token) if token is not None else 0

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than a page, which tells whether another page follows."""
        return NO_LIMIT if self._limit is None else self._limit + 1

    def page(self, rows: Sequence[R], item: Callable[[R], T], row_number: Callable[[R], int]) -> Page[T]:
        """Turn the rows read into a page of items."""
        kept = rows if self._limit is None else rows[: self._limit]
        more = len(rows) > len(kept)
        return Page(tuple(map(item, kept)), self._token(row_number(kept[-1])) if more else None)

    def _token(self, row: int) -> str:
        content = self._listing + row.to_bytes(_ROW_BYTES, "big", signed=True)
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def _row(self, token: str) -> int:
        try:
            content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) != _DIGEST_BYTES + _ROW_BYTES or content[:_DIGEST_BYTES] != self._listing:
            raise InvalidInput("The page token belongs to another listing.")
        return int.from_bytes(content[_DIGEST_BYTES:], "big", signed=True)


class FaceFilter(StrEnum):
    """The conditions of which statements on faces are composed; values are always bound, never composed."""

    ROWS = "f.row IN (SELECT value FROM json_each(?))"
    SPAN = "f.row > ? AND f.row < ?"
    IMAGE = "f.image_id = ? AND f.external_image_id IS ?"
    USER = "f.user = (SELECT row FROM user WHERE user_id = ? AND row > ? AND row < ?)"
    EXTERNAL_IMAGE_ID = "f.external_image_id = ?"
    FACE_IDS = "f.face_id IN (SELECT uuid_blob(value) FROM json_each(?))"


_SELECT_FACES = (
    'SELECT f.row, f.face_id, f.image_id, f."left", f.top, f.width, f.height, f.confidence, f.external_image_id, '
    "u.user_id, u.row FROM face f LEFT JOIN user u ON u.row = f.user"
)
_FACE_VECTORS = "SELECT row, vector FROM face_vector WHERE row IN (SELECT value FROM json_each(?))"
_USERS_IN_ORDER = "SELECT row, user_id, face_count, vector FROM user WHERE row > ? AND row < ? ORDER BY row LIMIT ?"
_USER_BY_ID = "SELECT row, user_id, face_count, vector FROM user WHERE user_id = ? AND row > ? AND row < ?"
_OTHER_VECTORS = {
    "face_vector": "SELECT 1 FROM face_vector WHERE typeof(vector) != 'blob' OR length(vector) != ? LIMIT 1",
    "user_vector": "SELECT 1 FROM user_vector WHERE typeof(vector) != 'blob' OR length(vector) != ? LIMIT 1",
}
_USERS_BY_VECTOR = (
    "SELECT u.row, u.user_id, u.face_count, u.vector FROM user_vector v JOIN user u ON u.row = v.user "
    "WHERE v.row IN (SELECT value FROM json_each(?))"
)


def check_records(reader: Reader) -> None:
    """Raise StorageDamaged when there is a vector or a collection that cannot be read."""
    for table, statement in _OTHER_VECTORS.items():
        if reader.read(statement, (EMBEDDING_BYTES,)):
            raise damaged_record(table)
    for collection in (CollectionRow(*row) for row in reader.read("SELECT * FROM collection")):
        _ = collection.calibration, collection.own_tags


def list_faces(
    reader: Reader, filters: Sequence[tuple[FaceFilter, Sequence[Any]]], limit: int = NO_LIMIT
) -> list[FaceRow]:
    """Read the faces that pass all filters, each given with the values of its question marks, in order of rows."""
    conditions = " AND ".join(condition for condition, _ in filters)
    statement = " ".join((_SELECT_FACES, "WHERE", conditions, "ORDER BY f.row LIMIT ?"))
    values = [value for _, bound in filters for value in bound]
    return [FaceRow(*row) for row in reader.read(statement, [*values, limit])]


def faces_by_id(reader: Reader, collection: CollectionRow, face_ids: Sequence[str]) -> dict[str, FaceRow]:
    """Read the faces that are in the collection, in the order of `face_ids`; unknown ids are left out."""
    faces = list_faces(reader, [(FaceFilter.FACE_IDS, (json.dumps(face_ids),)), (FaceFilter.SPAN, collection.span)])
    known = {bytes_to_uuid(face.face_id): face for face in faces}
    return {face_id: known[face_id] for face_id in face_ids if face_id in known}


def faces_by_row(reader: Reader, rows: Sequence[int]) -> dict[int, FaceRow]:
    """Read faces by their rows; those that are deleted are left out."""
    if not rows:
        return {}
    return {face.row: face for face in list_faces(reader, [(FaceFilter.ROWS, (json.dumps(rows),))])}


def faces_of_image(
    reader: Reader, collection: CollectionRow, image: bytes, external_image_id: str | None
) -> list[FaceRow]:
    """Read the faces that were stored from an image under an external image id, in the order of their rows."""
    return list_faces(reader, [(FaceFilter.IMAGE, (image, external_image_id)), (FaceFilter.SPAN, collection.span)])


def list_users(reader: Reader, span: tuple[int, int], limit: int) -> list[UserRow]:
    """Read the users whose rows lie in `span`, in the order of their rows."""
    return [UserRow(*row) for row in reader.read(_USERS_IN_ORDER, (*span, limit))]


def find_user(reader: Reader, collection: CollectionRow, user_id: str) -> UserRow:
    """Read one user. Raises UserNotFound."""
    found = reader.read(_USER_BY_ID, (user_id, *collection.span))
    if not found:
        raise UserNotFound(f"There is no user {user_id} in the collection {collection.collection_id}.")
    return UserRow(*found[0])


def users_by_vector(reader: Reader, rows: Sequence[int]) -> dict[int, UserRow]:
    """Read users by the rows of their vectors; a vector that was replaced or deleted is left out."""
    if not rows:
        return {}
    return {row[3]: UserRow(*row) for row in reader.read(_USERS_BY_VECTOR, (json.dumps(rows),))}


def vectors_of_faces(reader: Reader, rows: Sequence[int]) -> Vectors:
    """Read the embeddings (n, 128) of faces that exist, in the order of `rows`."""
    found: dict[int, bytes] = dict(reader.read(_FACE_VECTORS, (json.dumps(rows),)))
    return embeddings("face_vector", [found[row] for row in rows])


def embeddings_of(reader: Reader, collection: CollectionRow, face_ids: Sequence[str]) -> Vectors:
    """Read the embeddings (n, 128) of faces by their ids, in the order of `face_ids`. Raises FaceNotFound."""
    known = faces_by_id(reader, collection, face_ids)
    if missing := [face_id for face_id in face_ids if face_id not in known]:
        raise FaceNotFound(f"The face {missing[0]} is not in the collection {collection.collection_id}.")
    return vectors_of_faces(reader, [known[face_id].row for face_id in face_ids])


def vector_of_user(reader: Reader, user: UserRow) -> Vectors | None:
    """Read the user's embedding (128,); None when the user has no faces."""
    if user.vector is None:
        return None
    ((vector,),) = reader.read("SELECT vector FROM user_vector WHERE row = ?", (user.vector,))
    return embeddings("user_vector", [vector]).reshape(-1)
