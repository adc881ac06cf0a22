"""Faces in dictionaries, searched by comparing with each: what every recognizer does, at its plainest."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mien.domain import object_keys, thresholds
from mien.domain.errors import NoFace
from mien.domain.faces import Box, Detection, QualityFilter
from mien.domain.limits import ASSOCIATION_THRESHOLD, MAX_FACES_PER_PHOTO, MAX_FACES_PER_USER
from mien.domain.records import Comparison, FaceHit, IndexedFace, IndexResult, Probe, UserHit
from mien.engine import Face, quality
from mien.gallery import similarity

H = TypeVar("H")
Vector = npt.NDArray[np.float32]


class Engine(Protocol):
    """What is needed of a `FaceEngine`."""

    def read(self, image: bytes, max_faces: int = MAX_FACES_PER_PHOTO) -> list[Face]: ...
    def detect(self, image: bytes) -> list[Detection]: ...


class MemoryRecognizer:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._vectors: dict[str, Vector] = {}
        self._indexed_for: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}
        self._lock = RLock()

    def detect(self, image: bytes) -> list[Detection]:
        return self._engine.detect(image)

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        faces = self._engine.read(source, max_faces=1)
        if not faces:
            raise NoFace("The source photo shows no face.")
        found = [Comparison(f, _alike(faces[0].embedding, f.embedding)) for f in self._engine.read(target)]
        return sorted(found, key=lambda comparison: -comparison.similarity)

    def index(self, image: bytes, user_id: str | None, max_faces: int, threshold: float) -> IndexResult:
        kept, left_out = quality.filter_faces(self._engine.read(image), QualityFilter.AUTO, max_faces)
        user = object_keys.to_recognizer_id(user_id)
        image_id = hashlib.sha256(image).hexdigest()
        indexed = []
        with self._lock:
            for number, face in enumerate(kept):
                face_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image_id} {user} {number}"))
                self._vectors[face_id] = face.embedding
                self._indexed_for[face_id] = user
                indexed.append((face_id, face))
            others = {i: v for i, v in self._vectors.items() if i not in {face_id for face_id, _ in indexed}}
        faces = [IndexedFace(i, f, _hits(FaceHit, f.embedding, others, threshold, 20)) for i, f in indexed]
        return IndexResult(tuple(faces), tuple(reasons for _, reasons in left_out))

    def index_face(self, image: bytes, box: Box) -> str:
        face = max(self._engine.read(image), key=lambda face: face.box.overlap(box), default=None)
        if face is None or not face.box.overlap(box):
            raise NoFace("There is no face at this place of the photo.")
        face_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{hashlib.sha256(image).hexdigest()} {face.box}"))
        with self._lock:
            self._vectors[face_id] = face.embedding
        return face_id

    def threshold(self, given: str | float) -> thresholds.Threshold:
        return thresholds.with_error_rates(thresholds.parse(given, lambda: len(self._vectors)), len(self._vectors))

    def search(self, image: bytes, threshold: float, limit: int) -> list[Probe]:
        with self._lock:
            faces = dict(self._vectors)
            users = {
                object_keys.from_recognizer_id(user) or "": _mean(map(faces.__getitem__, ids))
                for user, ids in self._members.items()
                if ids
            }
        return [
            Probe(
                face,
                _hits(FaceHit, face.embedding, faces, threshold, limit),
                _hits(UserHit, face.embedding, users, threshold, limit),
            )
            for face in self._engine.read(image)
        ]

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        with self._lock:
            members = self._members.setdefault(object_keys.to_recognizer_id(user_id), set())
            for face_id in face_ids:
                vector = self._vectors.get(face_id)
                if vector is not None and len(members) < MAX_FACES_PER_USER and self._fits(vector, members):
                    members.add(face_id)
            return frozenset(members & set(face_ids))

    def delete(self, face_ids: Sequence[str]) -> int:
        with self._lock:
            for members in self._members.values():
                members -= set(face_ids)
            for face_id in face_ids:
                self._indexed_for.pop(face_id, None)
            return sum(self._vectors.pop(face_id, None) is not None for face_id in face_ids)

    def forget(self, user_id: str) -> None:
        with self._lock:
            self.delete(list(self.face_ids(user_id)))
            self._members.pop(object_keys.to_recognizer_id(user_id), None)

    def face_ids(self, user_id: str) -> frozenset[str]:
        user = object_keys.to_recognizer_id(user_id)
        with self._lock:
            indexed = {face_id for face_id, name in self._indexed_for.items() if name == user}
            return frozenset(indexed | self._members.get(user, set()))

    def _fits(self, vector: Vector, members: set[str]) -> bool:
        likeness = [_alike(vector, self._vectors[member]) for member in members]
        return not likeness or max(likeness) >= ASSOCIATION_THRESHOLD


def _hits(
    kind: Callable[[str, float], H], probe: Vector, known: dict[str, Vector], threshold: float, limit: int
) -> tuple[H, ...]:
    scores = sorted(((_alike(probe, vector), name) for name, vector in known.items()), reverse=True)
    return tuple(kind(name, score) for score, name in scores[:limit] if score >= threshold)


def _alike(one: Vector, other: Vector) -> float:
    return float(similarity(one @ other))


def _mean(vectors: Iterable[Vector]) -> Vector:
    mean = np.mean(list(vectors), axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)
