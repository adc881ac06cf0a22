"""Represent rows of the tables `collection`, `face` and `user` as values, and make their ids.

Ids of faces and images are UUIDs: lower-case text outside, 16 bytes in the database. A face id begins with the time,
so that new ids lie together in the database's index; that makes bulk loads several times faster.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION, Box, StoredFace, User, UserStatus
from mien.gallery.scoring import Calibration
from mien.gallery.store.database import UNREADABLE, damaged_record
from mien.gallery.store.schema import first_row
from mien.gallery.vector_index import Vectors

EMBEDDING_BYTES = 4 * EMBEDDING_DIMENSION
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image_id(image: bytes) -> str:
    """Return the name-based UUID (version 5) of an image's bytes: the same bytes give the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(image).hexdigest()))


def new_face_ids(count: int) -> list[bytes]:
    """Make UUIDs of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    timestamp = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    random = os.urandom(10 * count)
    return [timestamp + _version_7(random[i : i + 10]) for i in range(0, len(random), 10)]


def uuid_to_bytes(text: str) -> bytes:
    """Return the 16 bytes of a lower-case UUID; no bytes, which are nobody's id, for any other text.

    Statements call it as `uuid_blob`.
    """
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else b""


def bytes_to_uuid(content: bytes) -> str:
    text = content.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _version_7(random: bytes) -> bytes:
    return bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F)) + random[3:]


def embeddings(table: str, blobs: Sequence[bytes]) -> Vectors:
    """Return the embeddings (n, 128) that stand in a table of vectors. Raises StorageDamaged."""
    try:
        if all(len(blob) == EMBEDDING_BYTES for blob in blobs):
            return np.frombuffer(b"".join(blobs), np.float32).reshape(-1, EMBEDDING_DIMENSION)
    except UNREADABLE as error:
        raise damaged_record(table) from error
    raise damaged_record(table)


def _object(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except UNREADABLE as error:
        raise damaged_record("collection") from error


class CollectionRow(NamedTuple):
    """A row of the table `collection`, in the order of its columns."""

    key: int
    collection_id: str
    model_version: str
    created_at: float
    face_count: int
    user_count: int
    faces_added: int
    users_added: int
    vectors_added: int
    tags: str
    settings: str

    @property
    def calibration(self) -> Calibration:
        """The collection's own, from its settings, or the shipped one. Raises StorageDamaged."""
        try:
            own = Calibration(**self.own_settings.get("calibration", {}))
            return Calibration(float(own.offset), float(own.scale), int(own.comparisons))
        except UNREADABLE as error:
            raise damaged_record("collection") from error

    @property
    def own_settings(self) -> dict[str, Any]:
        """The settings, decoded. Raises StorageDamaged."""
        return _object(self.settings)

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags, decoded. Raises StorageDamaged."""
        return _object(self.tags)

    @property
    def span(self) -> tuple[int, int]:
        """The rows of the collection's faces, users and vectors lie between these two numbers, both exclusive."""
        return first_row(self.key), first_row(self.key + 1)


class FaceRow(NamedTuple):
    """A face and its user, in the order of `_SELECT_FACES`; `user` is the row of the user `user_id`."""

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
    """A row of the table `user`; `vector` is a row of `user_vector`, None for a user without faces."""

    row: int
    user_id: str
    face_count: int
    vector: int | None

    @property
    def status(self) -> UserStatus:
        return UserStatus.ACTIVE if self.face_count else UserStatus.CREATED

    def stored(self) -> User:
        return User(self.user_id, self.status)
