"""Represent rows of the tables `collection`, `face` and `user` as values."""

from __future__ import annotations

import json
from typing import NamedTuple

from mien.domain.faces import Box, StoredFace, User, UserStatus
from mien.gallery.scoring import Calibration
from mien.gallery.store.ids import bytes_to_uuid
from mien.gallery.store.schema import first_row


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
        """The collection's own, from its settings, or the shipped one."""
        return Calibration(**json.loads(self.settings).get("calibration", {}))

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
