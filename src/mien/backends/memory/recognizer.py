"""Recognise faces by comparing a face with every other one: the simplest recognizer to read."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import RLock
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mien.domain import object_keys, thresholds
from mien.domain.errors import ImageError, NoFace
from mien.domain.faces import Box, Detection, Page, QualityFilter
from mien.domain.policy import ASSOCIATION_THRESHOLD, MAX_FACE_MATCHES, MAX_FACES_PER_PHOTO, MAX_FACES_PER_USER
from mien.domain.results import (
    Comparison,
    FaceHit,
    IndexedFace,
    IndexResult,
    ListedFace,
    Portrait,
    Probe,
    SearchResult,
    StoredPhoto,
    UserHit,
    image_bytes,
)
from mien.engine import Face, FacePortrait, quality
from mien.engine.rendition import face_image
from mien.gallery import compare

LIST_PAGE = 1000
MAX_SIMILAR_FACES = 20

H = TypeVar("H")
Vector = npt.NDArray[np.float32]


class FaceReader(Protocol):
    """The methods of `FaceEngine` that the recognizer calls."""

    def read(self, image: bytes, max_faces: int = MAX_FACES_PER_PHOTO) -> list[Face]: ...
    def detect(self, image: bytes) -> list[Detection]: ...
    def portraits(self, image: bytes) -> list[FacePortrait]: ...


class MemoryRecognizer:
    """Implements `mien.app.group_ports.PortraitRecognizer` in memory."""

    def __init__(self, engine: FaceReader) -> None:
        self._engine = engine
        self._embeddings: dict[str, Vector] = {}  # by face id
        self._indexed_for: dict[str, str] = {}  # face id: recognizer id of the user
        self._users: dict[str, set[str]] = {}  # recognizer id of the user: face ids
        self._lock = RLock()

    def detect(self, image: bytes) -> list[Detection]:
        return self._engine.detect(image)

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        faces = self._engine.read(source, max_faces=1)
        if not faces:
            raise NoFace("The source photo shows no face.")
        comparisons = [
            Comparison(face, _similarity(faces[0].embedding, face.embedding)) for face in self._engine.read(target)
        ]
        return sorted(comparisons, key=lambda comparison: -comparison.similarity)

    def index(
        self, image: bytes | StoredPhoto, user_id: str | None, max_faces: int, threshold: float | None
    ) -> IndexResult:
        body = image_bytes(image)
        kept, rejected = quality.filter_faces(self._engine.read(body), QualityFilter.AUTO, max_faces)
        user = object_keys.to_recognizer_id(user_id)
        image_id = hashlib.sha256(body).hexdigest()
        indexed = {
            str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image_id} {user} {number}")): face for number, face in enumerate(kept)
        }
        with self._lock:
            self._embeddings |= {face_id: face.embedding for face_id, face in indexed.items()}
            self._indexed_for |= dict.fromkeys(indexed, user)
            others = {face_id: other for face_id, other in self._embeddings.items() if face_id not in indexed}
        if threshold is None:
            others = {}
        faces = [
            IndexedFace(face_id, face, _hits(FaceHit, face.embedding, others, threshold or 0.0, MAX_SIMILAR_FACES))
            for face_id, face in indexed.items()
        ]
        return IndexResult(tuple(faces), tuple(reasons for _, reasons in rejected))

    def index_face(self, image: bytes, box: Box) -> str:
        face = max(self._engine.read(image), key=lambda face: face.box.overlap(box), default=None)
        if face is None or not face.box.overlap(box):
            raise NoFace("The photo shows no face at this box.")
        face_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{hashlib.sha256(image).hexdigest()} {face.box}"))
        with self._lock:
            self._embeddings[face_id] = face.embedding
        return face_id

    def face_image(self, image: bytes, box: Box, side: int) -> bytes:
        return face_image(image, box, side)

    def threshold(self, given: str | float) -> thresholds.Threshold:
        nobody = object_keys.to_recognizer_id(None)
        strangers = sum(self._indexed_for.get(face_id, nobody) == nobody for face_id in self._embeddings)
        enrolled = len(self._embeddings) - strangers
        return thresholds.with_error_rates(thresholds.parse(given, lambda: enrolled), enrolled)

    def search(
        self, image: bytes | StoredPhoto, threshold: float, limit: int, max_faces: int = MAX_FACES_PER_PHOTO
    ) -> SearchResult:
        with self._lock:
            faces = dict(self._embeddings)
            users = {
                object_keys.from_recognizer_id(user) or "": _mean(map(faces.__getitem__, face_ids))
                for user, face_ids in self._users.items()
                if face_ids
            }
            nobody = object_keys.to_recognizer_id(None)
            people = {face_id for face_id in faces if self._indexed_for.get(face_id, nobody) != nobody}
        seen = self._engine.read(image_bytes(image))
        probes = (
            Probe(
                face,
                _limited(_hits(FaceHit, face.embedding, faces, threshold, MAX_FACE_MATCHES), people, limit),
                _hits(UserHit, face.embedding, users, threshold, limit),
            )
            for face in seen[:max_faces]
        )
        return SearchResult(tuple(probes), max(0, len(seen) - max_faces))

    def portraits(self, image: bytes, threshold: float, limit: int) -> list[Portrait]:
        found = self._engine.portraits(image)
        probes = self.search(image, threshold, limit).probes
        return [
            Portrait(
                probe,
                each.image,
                each.box,
                not quality.rejection_reasons(each.face, QualityFilter.AUTO),
                each.face.embedding,
            )
            for probe, each in zip(probes, found, strict=True)
        ]

    def portraits_many(
        self, images: Iterable[bytes], threshold: float, limit: int
    ) -> Iterator[list[Portrait] | ImageError]:
        for image in images:
            try:
                yield self.portraits(image, threshold, limit)
            except ImageError as error:
                yield error

    def index_portraits(self, portraits: Sequence[Portrait]) -> list[str]:
        user = object_keys.to_recognizer_id(None)
        image_ids = [hashlib.sha256(portrait.image).hexdigest() for portrait in portraits]
        face_ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image_id} {user} 0")) for image_id in image_ids]
        with self._lock:
            for face_id, portrait in zip(face_ids, portraits, strict=True):
                self._embeddings[face_id], self._indexed_for[face_id] = portrait.embedding, user
        return face_ids

    def count_faces(self) -> int:
        return len(self._embeddings)

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        with self._lock:
            associated = self._users.setdefault(object_keys.to_recognizer_id(user_id), set())
            for face_id in face_ids:
                embedding = self._embeddings.get(face_id)
                has_room = len(associated) < MAX_FACES_PER_USER
                if embedding is not None and has_room and self._is_similar(embedding, associated):
                    associated.add(face_id)
            return frozenset(associated & set(face_ids))

    def count_associated(self, user_id: str) -> int:
        with self._lock:
            return len(self._users.get(object_keys.to_recognizer_id(user_id), ()))

    def similar(self, face_id: str, threshold: float) -> tuple[FaceHit, ...]:
        with self._lock:
            others = dict(self._embeddings)
        embedding = others.pop(face_id, None)
        return () if embedding is None else _hits(FaceHit, embedding, others, threshold, MAX_FACE_MATCHES)

    def similar_to_each(self, face_ids: Sequence[str], threshold: float, limit: int) -> list[tuple[FaceHit, ...]]:
        return [self.similar(face_id, threshold)[:limit] for face_id in face_ids]

    def delete(self, face_ids: Sequence[str]) -> int:
        with self._lock:
            for associated in self._users.values():
                associated -= set(face_ids)
            for face_id in face_ids:
                self._indexed_for.pop(face_id, None)
            return sum(self._embeddings.pop(face_id, None) is not None for face_id in face_ids)

    def list_faces(self, token: str | None = None) -> Page[ListedFace]:
        with self._lock:
            later = sorted(face_id for face_id in self._embeddings if token is None or face_id > token)
        page = tuple(ListedFace(face_id, is_marked=True) for face_id in later[:LIST_PAGE])
        return Page(page, page[-1].face_id if len(later) > LIST_PAGE else None)

    def existing(self, face_ids: Sequence[str]) -> frozenset[str]:
        with self._lock:
            return frozenset(face_ids) & self._embeddings.keys()

    def forget(self, user_id: str) -> None:
        with self._lock:
            self.delete(list(self.face_ids(user_id)))
            self._users.pop(object_keys.to_recognizer_id(user_id), None)

    def face_ids(self, user_id: str) -> frozenset[str]:
        user = object_keys.to_recognizer_id(user_id)
        with self._lock:
            indexed = {face_id for face_id, indexed_for in self._indexed_for.items() if indexed_for == user}
            return frozenset(indexed | self._users.get(user, set()))

    def _is_similar(self, embedding: Vector, face_ids: set[str]) -> bool:
        similarities = [_similarity(embedding, self._embeddings[face_id]) for face_id in face_ids]
        return not similarities or max(similarities) >= ASSOCIATION_THRESHOLD


def _hits(
    kind: Callable[[str, float], H], probe: Vector, embeddings: dict[str, Vector], threshold: float, limit: int
) -> tuple[H, ...]:
    """The most similar of the embeddings, by face id or user id."""
    ranking = sorted(((_similarity(probe, embedding), name) for name, embedding in embeddings.items()), reverse=True)
    return tuple(kind(name, similarity) for similarity, name in ranking[:limit] if similarity >= threshold)


def _limited(hits: Sequence[FaceHit], people: set[str], limit: int) -> tuple[FaceHit, ...]:
    """So many faces of people, and as many as there are of nobody, who must not hide anybody."""
    beyond = {hit.face_id for hit in [hit for hit in hits if hit.face_id in people][limit:]}
    return tuple(hit for hit in hits if hit.face_id not in beyond)


def _similarity(a: Vector, b: Vector) -> float:
    return compare(a, b)


def _mean(embeddings: Iterable[Vector]) -> Vector:
    mean = np.mean(list(embeddings), axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)
