"""The recognizer on our own engine and gallery. Both are opened when first needed: listing people needs neither."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from mien.domain import object_keys, thresholds
from mien.domain.errors import FaceNotFound, LimitExceeded, NoFace, UserExists, UserNotFound
from mien.domain.faces import Box, Detection, FaceMatch, QualityFilter, UserMatch
from mien.domain.records import Comparison, FaceHit, IndexedFace, IndexResult, Probe, UserHit

if TYPE_CHECKING:
    from mien.engine import FaceEngine
    from mien.gallery import Gallery

HITS_AT_INDEXING = 20


class LocalRecognizer:
    def __init__(self, engine: Callable[[], FaceEngine], gallery: Callable[[], Gallery], collection: str) -> None:
        self._open_engine, self._open_gallery = engine, gallery
        self._collection = collection
        self._opening = threading.RLock()

    def detect(self, image: bytes) -> list[Detection]:
        return self._engine.detect(image)

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        from mien.backends.embedded.maintenance import calibration
        from mien.gallery import similarity

        faces = self._engine.read(source, max_faces=1)
        if not faces:
            raise NoFace("The source photo shows no face.")
        wanted, own = faces[0].embedding, calibration(self._gallery, self._collection)
        found = [Comparison(f, float(similarity(wanted @ f.embedding, own))) for f in self._engine.read(target)]
        return sorted(found, key=lambda comparison: -comparison.similarity)

    def index(self, image: bytes, user_id: str | None, max_faces: int, threshold: float) -> IndexResult:
        from mien.engine import quality
        from mien.gallery.store.rows import image_id

        kept, left_out = quality.filter_faces(self._engine.read(image), QualityFilter.AUTO, max_faces)
        stored = self._gallery.faces.index(
            self._collection,
            kept,
            image_id=image_id(image),
            external_image_id=object_keys.to_recognizer_id(user_id),
        )
        faces = [
            IndexedFace(one.face_id, face, self._hits_of(one.face_id, threshold))
            for one, face in zip(stored, kept, strict=True)
        ]
        return IndexResult(tuple(faces), tuple(reasons for _, reasons in left_out))

    def index_face(self, image: bytes, box: Box) -> str:
        from mien.gallery.store.rows import image_id

        face = max(self._engine.read(image), key=lambda face: face.box.overlap(box), default=None)
        if face is None or not face.box.overlap(box):
            raise NoFace("There is no face at this place of the photo.")
        of_this_face = image_id(image + repr(face.box).encode())
        (stored,) = self._gallery.faces.index(
            self._collection, [face], image_id=of_this_face, external_image_id=object_keys.to_recognizer_id(None)
        )
        return stored.face_id

    def threshold(self, given: str | float) -> thresholds.Threshold:
        enrolled = self._gallery.collections.describe(self._collection).face_count
        return thresholds.with_error_rates(thresholds.parse(given, lambda: enrolled), enrolled)

    def search(self, image: bytes, threshold: float, limit: int) -> list[Probe]:
        import numpy as np

        faces = self._engine.read(image)
        if not faces:
            return []
        probes = np.stack([face.embedding for face in faces])
        hits = self._gallery.search.faces(self._collection, probes, threshold=threshold, limit=limit)
        users = self._gallery.search.users(self._collection, probes, threshold=threshold, limit=limit)
        return [
            Probe(face, _face_hits(found), _user_hits(people))
            for face, found, people in zip(faces, hits, users, strict=True)
        ]

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        user = object_keys.to_recognizer_id(user_id)
        with suppress(UserExists):
            self._gallery.users.create(self._collection, user)
        with suppress(UserNotFound, LimitExceeded):  # forgotten meanwhile, or full
            self._gallery.users.associate(self._collection, user, face_ids)
        members = self._gallery.faces.list(self._collection, user_id=user, face_ids=face_ids)
        return frozenset(face.face_id for face in members.items)

    def delete(self, face_ids: Sequence[str]) -> int:
        if not face_ids:
            return 0
        first = self._gallery.faces.delete(self._collection, face_ids)
        bound = [(face.face_id, face.user_id) for face in first.failed if face.user_id is not None]
        for face_id, user in bound:
            with suppress(UserNotFound):
                self._gallery.users.disassociate(self._collection, user, [face_id])
        then = self._gallery.faces.delete(self._collection, [face_id for face_id, _ in bound])
        return len(first.deleted) + len(then.deleted)

    def forget(self, user_id: str) -> None:
        self.delete(sorted(self.face_ids(user_id)))
        with suppress(UserNotFound):
            self._gallery.users.delete(self._collection, object_keys.to_recognizer_id(user_id))

    def face_ids(self, user_id: str) -> frozenset[str]:
        user = object_keys.to_recognizer_id(user_id)
        members = self._gallery.faces.list(self._collection, user_id=user).items
        indexed = self._gallery.faces.list(self._collection, external_image_id=user).items
        return frozenset(face.face_id for face in (*members, *indexed))

    def _hits_of(self, face_id: str, threshold: float) -> tuple[FaceHit, ...]:
        try:
            like = self._gallery.search.similar_faces(
                self._collection, face_id, threshold=threshold, limit=HITS_AT_INDEXING
            )
        except FaceNotFound:  # forgotten meanwhile
            return ()
        return _face_hits(like)

    @property
    def _engine(self) -> FaceEngine:
        with self._opening:
            return self._opened_engine

    @property
    def _gallery(self) -> Gallery:
        with self._opening:
            return self._opened_gallery

    @cached_property
    def _opened_engine(self) -> FaceEngine:
        return self._open_engine()

    @cached_property
    def _opened_gallery(self) -> Gallery:
        return self._open_gallery()


def _face_hits(matches: Sequence[FaceMatch]) -> tuple[FaceHit, ...]:
    return tuple(FaceHit(match.face.face_id, match.similarity) for match in matches)


def _user_hits(matches: Sequence[UserMatch]) -> tuple[UserHit, ...]:
    return tuple(
        UserHit(user_id, match.similarity)
        for match in matches
        if (user_id := object_keys.from_recognizer_id(match.user.user_id)) is not None
    )
