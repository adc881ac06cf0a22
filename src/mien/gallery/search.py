"""Who is like this? Probes against the faces or the users of a collection.

A match is a face whose similarity, as answered, reaches the threshold. A search sees what any process has
committed; when a match vanishes while it is looked up, the search is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import InvalidInput
from mien.domain.faces import FaceMatch, StoredFace, UserMatch
from mien.domain.limits import MATCH_THRESHOLD, MAX_FACE_MATCHES, MAX_USER_MATCHES
from mien.gallery import validation
from mien.gallery.faces import Faces
from mien.gallery.scoring import Calibration, cosine_at, similarity
from mien.gallery.store.access import CollectionRow
from mien.gallery.store.rows import faces_by_row, find_user, users_by_vector, vector_of
from mien.gallery.store.schema import first_row
from mien.gallery.store.source import faces_space, users_space
from mien.gallery.vector_index import Rows, Vectors

SAME_FACE = 99.0
PAIRS_AT_ONCE = 512

STEEPEST, MARGIN = 99.9, 1e-4
"""The index is asked for slightly more than the threshold, and exact similarities decide: their rounding
must not lose a match. Above 99.9 the curve is too flat in float32 to be inverted."""

Scored = list[tuple[int, float]]
Floats = NDArray[np.float32]


class Search(Faces):
    def search_faces(
        self, collection_id: str, probes: Floats, *, threshold: float = MATCH_THRESHOLD, limit: int | None = None
    ) -> list[list[FaceMatch]]:
        """For each probe (n, 128) the faces whose similarity is at least the threshold, most similar first.

        At most 4,096, or `limit` if that is less. Many probes at once cost far less than one by one.
        """
        record = self._comparable(collection_id)
        return self._faces_like(record, probes, threshold, _most(limit, MAX_FACE_MATCHES))

    def search_face(
        self, collection_id: str, face_id: str, *, threshold: float = MATCH_THRESHOLD, limit: int | None = None
    ) -> list[FaceMatch]:
        """The other faces that are like this one. Raises FaceNotFound."""
        record = self._comparable(collection_id)
        most = _most(limit, MAX_FACE_MATCHES)
        (found,) = self._faces_like(record, self._face(record, face_id), threshold, most + 1)
        return [match for match in found if match.face.face_id != face_id][:most]

    def search_users(
        self, collection_id: str, probes: Floats, *, threshold: float = MATCH_THRESHOLD, limit: int | None = None
    ) -> list[list[UserMatch]]:
        """As `search_faces`, for users by their one embedding; at most 500. Users without faces never match."""
        record = self._comparable(collection_id)
        return self._users_like(record, probes, threshold, _most(limit, MAX_USER_MATCHES))

    def search_user(
        self,
        collection_id: str,
        *,
        user_id: str | None = None,
        face_id: str | None = None,
        threshold: float = MATCH_THRESHOLD,
        limit: int | None = None,
    ) -> list[UserMatch]:
        """The users that are like a face, or the others that are like a user; one of the two is given.

        Raises FaceNotFound or UserNotFound.
        """
        record = self._comparable(collection_id)
        most = _most(limit, MAX_USER_MATCHES)
        if face_id is not None and user_id is None:
            return self._users_like(record, self._face(record, face_id), threshold, most)[0]
        if user_id is None or face_id is not None:
            raise InvalidInput("Give either a user id or a face id.")
        probes = self._user(record, user_id)
        found = self._users_like(record, probes, threshold, most + 1)
        return [match for hits in found for match in hits if match.user.user_id != user_id][:most]

    def similar_pairs(
        self, collection_id: str, threshold: float = SAME_FACE
    ) -> Iterator[tuple[StoredFace, StoredFace, float]]:
        """All pairs of faces of a collection that are this similar, each once, as they are found.

        Duplicates, and one person under two names. Faces that come or go meanwhile may be left out.
        """
        record = self._comparable(collection_id)
        pairs = self._indexes.pairs(faces_space(record.key), _least(threshold, record.calibration))
        while some := list(islice(pairs, PAIRS_AT_ONCE)):
            one, other = first_row(record.key) + np.array([rows for *rows, _ in some]).T
            scores = similarity(np.array([cosine for *_, cosine in some], np.float32), record.calibration)
            faces = faces_by_row(self._database, np.unique([one, other]).tolist())
            for left, right, score in zip(one.tolist(), other.tolist(), scores.tolist(), strict=True):
                if left in faces and right in faces and score >= threshold:
                    yield faces[left].stored(record.model_version), faces[right].stored(record.model_version), score

    def _face(self, record: CollectionRow, face_id: str) -> Floats:
        """The face's embedding as a probe (1, 128)."""
        return self.embeddings(record.collection_id, [face_id])

    def _user(self, record: CollectionRow, user_id: str) -> Floats:
        """The user's embedding as probes (1, 128), or (0, 128) when there is none."""
        with self._database.snapshot() as snapshot:
            vector = vector_of(snapshot, find_user(snapshot, record, user_id))
        return np.empty((0, validation.DIMENSION), np.float32) if vector is None else vector[np.newaxis]

    def _faces_like(self, record: CollectionRow, probes: Floats, threshold: float, limit: int) -> list[list[FaceMatch]]:
        while True:
            found = self._like(faces_space(record.key), record, probes, threshold, limit)
            faces = faces_by_row(self._database, rows := _rows(found))
            if len(faces) == len(rows):
                stored = {row: face.stored(record.model_version) for row, face in faces.items()}
                return [[FaceMatch(score, stored[row]) for row, score in hits] for hits in found]

    def _users_like(self, record: CollectionRow, probes: Floats, threshold: float, limit: int) -> list[list[UserMatch]]:
        while True:
            found = self._like(users_space(record.key), record, probes, threshold, limit)
            users = users_by_vector(self._database, rows := _rows(found))
            if len(users) == len(rows):
                return [[UserMatch(score, users[row].stored()) for row, score in hits] for hits in found]

    def _like(self, space: str, record: CollectionRow, probes: Floats, threshold: float, limit: int) -> list[Scored]:
        """For each probe the rows of vectors and their similarities, at most `limit`."""
        vectors = validation.embeddings(probes)
        least = _least(threshold, record.calibration)
        found = self._indexes.search(space, vectors, least, limit) if len(vectors) else []
        first = first_row(record.key)
        return [_scored(rows + first, cosines, record.calibration, threshold) for rows, cosines in found]


def _least(threshold: float, calibration: Calibration) -> float:
    validation.percent(threshold)
    return cosine_at(min(threshold, STEEPEST), calibration) - MARGIN


def _scored(rows: Rows, cosines: Vectors, calibration: Calibration, threshold: float) -> Scored:
    scores = similarity(cosines, calibration)
    reached = scores >= threshold
    return list(zip(rows[reached].tolist(), scores[reached].tolist(), strict=True))


def _rows(found: list[Scored]) -> list[int]:
    return sorted({row for hits in found for row, _ in hits})


def _most(limit: int | None, most: int) -> int:
    return min(validation.positive_limit(limit) or most, most)
