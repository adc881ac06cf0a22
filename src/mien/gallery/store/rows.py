"""Ids of images and faces: UUIDs as text outside, 16 bytes inside.

An image id is a function of the image's bytes. A face id begins with the time, so that new ids lie
together in the database's index; that makes bulk loads several times faster.

Rows of the tables `face` and `user` read as domain values.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.domain.errors import UserNotFound
from mien.domain.faces import Box, StoredFace, User, UserStatus
from mien.gallery.store.access import CollectionRow
from mien.gallery.store.database import Reader
from mien.gallery.store.schema import first_row
from mien.gallery.validation import DIMENSION
from mien.gallery.vector_index import Vectors

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image_id(image: bytes) -> str:
    """The same bytes give the same name-based UUID (version 5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(image).hexdigest()))


def new_face_ids(count: int) -> list[bytes]:
    """UUIDs of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000
    stamp = milliseconds.to_bytes(6, "big")
    random = os.urandom(10 * count)
    return [stamp + _version_7(random[i : i + 10]) for i in range(0, len(random), 10)]


def uuid_to_bytes(identity: str) -> bytes:
    """The 16 bytes of a lower-case UUID; of any other text none, which are no face's id."""
    return bytes.fromhex(identity.replace("-", "")) if _UUID.fullmatch(identity) else b""


def bytes_to_uuid(identity: bytes) -> str:
    text = identity.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _version_7(random: bytes) -> bytes:
    return bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F)) + random[3:]


MOST_VALUES = 4096
"""Values in one statement; SQLite takes 32,766."""

STORED = (
    'SELECT f.row, f.face_id, f.image_id, f."left", f.top, f.width, f.height, f.confidence, f.external_image_id, '
    "u.user_id, u.row FROM face f LEFT JOIN user u ON u.row = f.user"
)
AMONG = "IN (SELECT value FROM json_each(?))"
USERS = "SELECT row, user_id, face_count, vector FROM user"
USERS_BY_VECTOR = "SELECT u.row, u.user_id, u.face_count, u.vector FROM user_vector v JOIN user u ON u.row = v.user"


class FaceRow(NamedTuple):
    row: int
    face_id: bytes
    image_id: bytes | None
    left: float
    top: float
    width: float
    height: float
    confidence: float
    external_image_id: str | None
    user_id: str | None
    user: int | None

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.width, self.height)

    def stored(self, model_version: str) -> StoredFace:
        return StoredFace(
            face_id=bytes_to_uuid(self.face_id),
            image_id=bytes_to_uuid(self.image_id or self.face_id),
            box=self.box,
            confidence=self.confidence,
            external_image_id=self.external_image_id,
            user_id=self.user_id,
            model_version=model_version,
        )


class UserRow(NamedTuple):
    row: int
    user_id: str
    face_count: int
    vector: int | None

    @property
    def status(self) -> UserStatus:
        return UserStatus.ACTIVE if self.face_count else UserStatus.CREATED

    def stored(self) -> User:
        return User(self.user_id, self.status)


def faces_by_id(reader: Reader, record: CollectionRow, face_ids: Sequence[str]) -> dict[str, FaceRow]:
    """Those of the faces that are in the collection, in the order asked."""
    known = {}
    for some in _chunks([uuid_to_bytes(face_id) for face_id in face_ids]):
        for row in reader.read(
            f"{STORED} WHERE f.face_id IN ({marks(some)}) AND f.row > ? AND f.row < ?", [*some, *span(record)]
        ):
            face = FaceRow(*row)
            known[bytes_to_uuid(face.face_id)] = face
    return {face_id: known[face_id] for face_id in face_ids if face_id in known}


def faces_by_row(reader: Reader, rows: Iterable[int]) -> dict[int, FaceRow]:
    found = reader.read(f"{STORED} WHERE f.row {AMONG}", (json.dumps(list(rows)),))
    return {row[0]: FaceRow(*row) for row in found}


def users_by_vector(reader: Reader, rows: Iterable[int]) -> dict[int, UserRow]:
    """Users by the rows of their vectors."""
    found = reader.read(f"{USERS_BY_VECTOR} WHERE v.row {AMONG}", (json.dumps(list(rows)),))
    return {row[3]: UserRow(*row) for row in found}


def find_user(reader: Reader, record: CollectionRow, user_id: str) -> UserRow:
    """Raises UserNotFound."""
    found = reader.read(f"{USERS} WHERE user_id = ? AND row > ? AND row < ?", (user_id, *span(record)))
    if not found:
        raise UserNotFound(f"There is no user {user_id} in the collection {record.collection_id}.")
    return UserRow(*found[0])


def vectors_of(reader: Reader, rows: Sequence[int]) -> Vectors:
    """The embeddings (n, 128) of faces that exist, in the order of their rows."""
    found: dict[int, bytes] = dict(
        reader.read(f"SELECT row, vector FROM face_vector WHERE row {AMONG}", (json.dumps(rows),))
    )
    return np.frombuffer(b"".join(found[row] for row in rows), np.float32).reshape(-1, DIMENSION)


def vector_of(reader: Reader, user: UserRow) -> Vectors | None:
    """The user's embedding (128,), None when the user has no faces."""
    if user.vector is None:
        return None
    ((vector,),) = reader.read("SELECT vector FROM user_vector WHERE row = ?", (user.vector,))
    return np.frombuffer(vector, np.float32)


def span(record: CollectionRow) -> tuple[int, int]:
    """The rows of the collection lie between these two, both left out."""
    return first_row(record.key), first_row(record.key + 1)


def marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _chunks(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(values), MOST_VALUES):
        yield values[start : start + MOST_VALUES]
