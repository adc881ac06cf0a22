"""Faces into a collection: those of one image, stored once, and embeddings in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import InvalidInput
from mien.domain.faces import Box, StoredFace
from mien.gallery import validation
from mien.gallery.store.access import CollectionAccess, CollectionRow
from mien.gallery.store.database import Transaction
from mien.gallery.store.rows import STORED, FaceRow, bytes_to_uuid, faces_by_row, new_face_ids, span, uuid_to_bytes
from mien.gallery.store.schema import first_row
from mien.gallery.validation import DIMENSION
from mien.gallery.vector_index import Vectors

BULK_CHUNK = 20_000
WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
Values = tuple[bytes | None, str | None, float, float, float, float, float]
"""Image id, external image id, box, confidence."""

SAME_PLACE = 0.5
"""Boxes that overlap by more than this are the same face of the same image."""


class HasEmbedding(Protocol):
    """What is needed of a face that was read from an image; the embedding is a unit vector (128,)."""

    @property
    def box(self) -> Box: ...
    @property
    def confidence(self) -> float: ...
    @property
    def embedding(self) -> NDArray[np.float32]: ...


class Indexing(CollectionAccess):
    def index_faces(
        self,
        collection_id: str,
        faces: Sequence[HasEmbedding],
        *,
        image_id: str,
        external_image_id: str | None = None,
    ) -> list[StoredFace]:
        """Store the faces of one image; the answer is in their order.

        A face at the same place of an image with the same image id and external image id is stored once:
        it keeps its face id, also when two processes index the image at the same moment.
        """
        image, external = _image(image_id), _external(external_image_id)
        vectors = validation.embeddings(_stacked(faces))
        with self._database.write() as transaction:
            record = self._comparable(collection_id, transaction)
            known = _matched(faces, _of_image(transaction, record, image, external))
            new = [number for number, row in enumerate(known) if row is None]
            values = [(image, external, *astuple(faces[number].box), faces[number].confidence) for number in new]
            added = iter(_insert(transaction, record, new_face_ids(len(new)), values, vectors[new]))
            rows = [next(added) if row is None else row for row in known]
            stored = faces_by_row(transaction, rows)
        return [stored[row].stored(record.model_version) for row in rows]

    def bulk_add(
        self,
        collection_id: str,
        embeddings: NDArray[np.float32],
        external_image_ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Store embeddings (n, 128) that come without photos; their face ids, which are their image ids too.

        Each 20,000 are one transaction: when a call fails, the chunks before are stored.
        """
        vectors = validation.embeddings(embeddings)
        names: Sequence[str | None] = [None] * len(vectors) if external_image_ids is None else external_image_ids
        if len(names) != len(vectors):
            raise InvalidInput("There must be as many external image ids as embeddings.")
        for name in set(names):
            _external(name)
        self._comparable(collection_id)
        return [
            face_id
            for start in range(0, len(vectors), BULK_CHUNK)
            for face_id in self._add_chunk(
                collection_id, vectors[start : start + BULK_CHUNK], names[start : start + BULK_CHUNK]
            )
        ]

    def _add_chunk(self, collection_id: str, vectors: Vectors, names: Sequence[str | None]) -> list[str]:
        ids = new_face_ids(len(vectors))
        values = [(None, name, *WHOLE_IMAGE, 100.0) for name in names]
        with self._database.write() as transaction:
            record = self._comparable(collection_id, transaction)
            _insert(transaction, record, ids, values, vectors)
        return list(map(bytes_to_uuid, ids))


def _insert(
    transaction: Transaction, record: CollectionRow, ids: Sequence[bytes], values: Sequence[Values], vectors: Vectors
) -> range:
    """The rows that the new faces and their vectors (n, 128) got."""
    start = first_row(record.key) + record.faces_added + 1
    rows = range(start, start + len(ids))
    transaction.executemany(
        'INSERT INTO face (row, face_id, image_id, external_image_id, "left", top, width, height, confidence) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(row, face_id, *rest) for row, face_id, rest in zip(rows, ids, values, strict=True)],
    )
    transaction.executemany("INSERT INTO face_vector VALUES (?, ?)", zip(rows, map(bytes, vectors), strict=True))
    transaction.execute(
        "UPDATE collection SET face_count = face_count + ?, faces_added = faces_added + ? WHERE key = ?",
        (len(ids), len(ids), record.key),
    )
    return rows


def _of_image(transaction: Transaction, record: CollectionRow, image: bytes, external: str | None) -> list[FaceRow]:
    found = transaction.read(
        f"{STORED} WHERE f.image_id = ? AND f.external_image_id IS ? AND f.row > ? AND f.row < ? ORDER BY f.row",
        (image, external, *span(record)),
    )
    return [FaceRow(*row) for row in found]


def _stacked(faces: Sequence[HasEmbedding]) -> Vectors:
    vectors = np.array([face.embedding for face in faces], np.float32)
    return vectors.reshape(len(faces), -1 if faces else DIMENSION)


def _matched(faces: Sequence[HasEmbedding], stored: list[FaceRow]) -> list[int | None]:
    """For each face the row of the stored one at its place, each used once; None for a new face."""
    waiting = list(stored)
    rows: list[int | None] = []
    for face in faces:
        best = max(waiting, key=lambda known: _overlap(known.box, face.box), default=None)
        if best is not None and _overlap(best.box, face.box) > SAME_PLACE:
            waiting.remove(best)
            rows.append(best.row)
        else:
            rows.append(None)
    return rows


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    if one == other:
        return 1.0
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.area + other.area - shared) if shared else 0.0


def _image(image_id: str) -> bytes:
    image = uuid_to_bytes(image_id)
    if not image:
        raise InvalidInput("The image id must be a lower-case UUID.")
    return image


def _external(external_image_id: str | None) -> str | None:
    return None if external_image_id is None else validation.name("external image id", external_image_id)
