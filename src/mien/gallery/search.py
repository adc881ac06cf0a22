"""Search a collection 1:N: compare probes with its faces or its users.

A search sees what any process has committed; when a match is deleted while it is looked up, the search is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from mien.domain.errors import InvalidInput
from mien.domain.faces import EMBEDDING_DIMENSION, FaceMatch, StoredFace, UserMatch
from mien.domain.policy import MATCH_THRESHOLD, MAX_FACE_MATCHES, MAX_USER_MATCHES
from mien.domain.thresholds import CERTAIN_SIMILARITY
from mien.gallery import validation
from mien.gallery.collections import CollectionAccess
from mien.gallery.scoring import Calibration, cosine_at, similarity
from mien.gallery.store.queries import embeddings_of, faces_by_row, find_user, users_by_vector, vector_of_user
from mien.gallery.store.rows import CollectionRow
from mien.gallery.store.schema import first_row
from mien.gallery.store.source import face_vectors, user_vectors
from mien.gallery.vector_index import Rows, Vectors

PAIR_BATCH = 512

COSINE_MARGIN = 1e-4
"""The index is asked for cosines down to this much below the threshold's, and exact similarities decide: rounding must
not lose a match."""
MAX_INVERTIBLE = 99.9
"""Above this similarity the curve is too flat in float32 to be inverted."""

_Scored = list[tuple[int, float]]
"""Rows of the database and their similarities."""


class Search:
    """The searches. See `Gallery` for the errors that all operations raise.

    Each search returns the faces or users whose similarity, in float32 as it is returned, is at least the threshold,
    the most similar first, and raises ModelMismatch for a collection of another model.
    """

    def __init__(self, access: CollectionAccess) -> None:
        self._access = access
        self._database = access.database

    def faces(
        self,
        collection_id: str,
        probes: ArrayLike,
        *,
        threshold: float = MATCH_THRESHOLD,
        limit: int | None = None,
    ) -> list[list[FaceMatch]]:
        """Search for the faces that match each probe.

        One search of many probes takes far less time than a search for each.

        Args:
            collection_id: A collection of this gallery's model.
            probes: Unit vectors (n, 128), taken as float32.
            threshold: The lowest similarity of a match, 0 to 100.
            limit: The maximum number of matches of a probe, 1 or more; never more than 4,096.

        Returns:
            The matches of each probe, in the order of `probes`.
        """
        collection = self._access.find_comparable(collection_id)
        return self._match_faces(collection, validation.embeddings(probes), threshold, _limit(limit, MAX_FACE_MATCHES))

    def similar_faces(
        self, collection_id: str, face_id: str, *, threshold: float = MATCH_THRESHOLD, limit: int | None = None
    ) -> list[FaceMatch]:
        """Search for the other faces that match a stored one; see `faces` for the arguments.

        Raises:
            FaceNotFound: The face is not in the collection.
        """
        return self.similar_to_each(collection_id, [face_id], threshold=threshold, limit=limit)[0]

    def similar_to_each(
        self,
        collection_id: str,
        face_ids: Sequence[str],
        *,
        threshold: float = MATCH_THRESHOLD,
        limit: int | None = None,
    ) -> list[list[FaceMatch]]:
        """Search for the other faces that match each of several stored ones; see `similar_faces`."""
        collection = self._access.find_comparable(collection_id)
        max_matches = _limit(limit, MAX_FACE_MATCHES)
        found = self._match_faces(collection, self._faces(collection_id, face_ids), threshold, max_matches + 1)
        return [
            [match for match in matches if match.face.face_id != face_id][:max_matches]
            for face_id, matches in zip(face_ids, found, strict=True)
        ]

    def users(
        self,
        collection_id: str,
        probes: ArrayLike,
        *,
        threshold: float = MATCH_THRESHOLD,
        limit: int | None = None,
    ) -> list[list[UserMatch]]:
        """Search for the users that match each probe; see `faces` for the arguments. At most 500 match a probe.

        Users are compared by their aggregated embedding; those without faces never match.
        """
        collection = self._access.find_comparable(collection_id)
        return self._match_users(collection, validation.embeddings(probes), threshold, _limit(limit, MAX_USER_MATCHES))

    def faces_and_users(
        self, collection_id: str, probes: ArrayLike, *, threshold: float, max_users: int
    ) -> tuple[list[list[FaceMatch]], list[list[UserMatch]]]:
        """Search for the faces, and for the best `max_users` users, that match each probe; see `faces` and `users`."""
        collection, vectors = self._access.find_comparable(collection_id), validation.embeddings(probes)
        return (
            self._match_faces(collection, vectors, threshold, MAX_FACE_MATCHES),
            self._match_users(collection, vectors, threshold, _limit(max_users, MAX_USER_MATCHES)),
        )

    def similar_users(
        self,
        collection_id: str,
        *,
        user_id: str | None = None,
        face_id: str | None = None,
        threshold: float = MATCH_THRESHOLD,
        limit: int | None = None,
    ) -> list[UserMatch]:
        """Search for the users that match a stored face, or the other users that match a user.

        Args:
            collection_id: A collection of this gallery's model.
            user_id: The user, or None where a face is given.
            face_id: The face, or None where a user is given.
            threshold: The lowest similarity of a match, 0 to 100.
            limit: The maximum number of matches, 1 or more; never more than 500.

        Raises:
            FaceNotFound: The face is not in the collection.
            UserNotFound: The user is not in the collection.
        """
        collection = self._access.find_comparable(collection_id)
        max_matches = _limit(limit, MAX_USER_MATCHES)
        if face_id is not None and user_id is None:
            return self._match_users(collection, self._faces(collection_id, [face_id]), threshold, max_matches)[0]
        if user_id is None or face_id is not None:
            raise InvalidInput("Give either a user id or a face id.")
        found = self._match_users(collection, self._user(collection, user_id), threshold, max_matches + 1)
        return [match for matches in found for match in matches if match.user.user_id != user_id][:max_matches]

    def similar_pairs(
        self, collection_id: str, threshold: float = CERTAIN_SIMILARITY
    ) -> Iterator[tuple[StoredFace, StoredFace, float]]:
        """Yield all pairs of faces whose similarity (0 to 100) is at least the threshold, each once, as found.

        They are duplicates, or one person under two names. Faces that are added or deleted meanwhile may be left out.
        """
        collection = self._access.find_comparable(collection_id)
        calibration = collection.calibration
        pairs = self._access.indexes.pairs(face_vectors(collection.key), _min_cosine(threshold, calibration))
        while batch := list(islice(pairs, PAIR_BATCH)):
            left, right = first_row(collection.key) + np.array([rows for *rows, _ in batch]).T
            scores = similarity(np.array([cosine for *_, cosine in batch], np.float32), calibration)
            faces = faces_by_row(self._database, np.unique([left, right]).tolist())
            stored = {row: face.stored(collection.model_version) for row, face in faces.items()}
            for one, other, score in zip(left.tolist(), right.tolist(), scores.tolist(), strict=True):
                if one in stored and other in stored and score >= threshold:
                    yield stored[one], stored[other], score

    def _faces(self, collection_id: str, face_ids: Sequence[str]) -> Vectors:
        """Read the embeddings of faces as probes (n, 128)."""
        with self._database.snapshot() as snapshot:
            return embeddings_of(snapshot, self._access.find(collection_id, snapshot), face_ids)

    def _user(self, collection: CollectionRow, user_id: str) -> Vectors:
        """Read a user's embedding as a probe (1, 128), or none (0, 128) for a user without faces."""
        with self._database.snapshot() as snapshot:
            vector = vector_of_user(snapshot, find_user(snapshot, collection, user_id))
        return np.empty((0, EMBEDDING_DIMENSION), np.float32) if vector is None else vector[np.newaxis]

    def _match_faces(
        self, collection: CollectionRow, probes: Vectors, threshold: float, limit: int
    ) -> list[list[FaceMatch]]:
        while True:
            found = self._search(face_vectors(collection.key), collection, probes, threshold, limit)
            faces = faces_by_row(self._database, rows := _rows(found))
            if len(faces) == len(rows):
                stored = {row: face.stored(collection.model_version) for row, face in faces.items()}
                return [[FaceMatch(score, stored[row]) for row, score in scored] for scored in found]

    def _match_users(
        self, collection: CollectionRow, probes: Vectors, threshold: float, limit: int
    ) -> list[list[UserMatch]]:
        while True:
            found = self._search(user_vectors(collection.key), collection, probes, threshold, limit)
            users = users_by_vector(self._database, rows := _rows(found))
            if len(users) == len(rows):
                return [[UserMatch(score, users[row].stored()) for row, score in scored] for scored in found]

    def _search(
        self, vector_set: str, collection: CollectionRow, probes: Vectors, threshold: float, limit: int
    ) -> list[_Scored]:
        """Search a vector set; return for each probe the best `limit` rows and their similarities."""
        calibration = collection.calibration
        min_cosine = _min_cosine(threshold, calibration)
        found = self._access.indexes.search(vector_set, probes, min_cosine, limit) if len(probes) else []
        first = first_row(collection.key)
        return [_scored(rows + first, cosines, calibration, threshold) for rows, cosines in found]


def _min_cosine(threshold: float, calibration: Calibration) -> float:
    validation.percent(threshold)
    return cosine_at(min(threshold, MAX_INVERTIBLE), calibration) - COSINE_MARGIN


def _scored(rows: Rows, cosines: Vectors, calibration: Calibration, threshold: float) -> _Scored:
    scores = similarity(cosines, calibration)
    reached = scores >= threshold
    return list(zip(rows[reached].tolist(), scores[reached].tolist(), strict=True))


def _rows(found: Sequence[_Scored]) -> list[int]:
    return sorted({row for scored in found for row, _ in scored})


def _limit(limit: int | None, max_matches: int) -> int:
    return min(validation.positive_limit(limit) or max_matches, max_matches)
