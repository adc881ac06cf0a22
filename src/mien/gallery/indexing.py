"""Store faces in a collection, inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import Box
from mien.gallery.store.database import Transaction
from mien.gallery.store.queries import faces_of_image
from mien.gallery.store.rows import CollectionRow, FaceRow, new_face_ids
from mien.gallery.store.schema import first_row
from mien.gallery.vector_index import Vectors

SAME_FACE_OVERLAP = 0.5
"""Boxes whose intersection over union exceeds this are the same face of the same image."""

_INSERT_FACE = (
    'INSERT INTO face (row, face_id, image_id, external_image_id, "left", top, width, height, confidence) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class HasEmbedding(Protocol):
    """A face that was read from an image.

    `box` is in fractions of the upright image, `confidence` 0 to 100, `embedding` a unit vector (128,) of float32.
    """

    @property
    def box(self) -> Box: ...
    @property
    def confidence(self) -> float: ...
    @property
    def embedding(self) -> NDArray[np.float32]: ...


class NewFace(NamedTuple):
    """The columns of a new face but for its row and its face id."""

    image_id: bytes | None
    external_image_id: str | None
    left: float
    top: float
    width: float
    height: float
    confidence: float


def insert_faces(
    transaction: Transaction,
    collection: CollectionRow,
    face_ids: Sequence[bytes],
    faces: Iterable[NewFace],
    vectors: Vectors,
) -> range:
    """Insert new faces with their ids and vectors (n, 128); return their rows."""
    start = first_row(collection.key) + collection.faces_added + 1
    rows = range(start, start + len(face_ids))
    transaction.executemany(
        _INSERT_FACE, [(row, face_id, *face) for row, face_id, face in zip(rows, face_ids, faces, strict=True)]
    )
    transaction.executemany("INSERT INTO face_vector VALUES (?, ?)", zip(rows, map(bytes, vectors), strict=True))
    transaction.execute(
        "UPDATE collection SET face_count = face_count + ?, faces_added = faces_added + ? WHERE key = ?",
        (len(face_ids), len(face_ids), collection.key),
    )
    return rows


def index_image(
    transaction: Transaction,
    collection: CollectionRow,
    faces: Sequence[HasEmbedding],
    vectors: Vectors,
    image: bytes,
    external_image_id: str | None,
) -> list[int]:
    """Insert the faces of an image that are not stored yet; return the rows of all, in the order of `faces`."""
    known = _match(faces, faces_of_image(transaction, collection, image, external_image_id))
    new = [number for number, row in enumerate(known) if row is None]
    values = [_new_face(faces[number], image, external_image_id) for number in new]
    added = iter(insert_faces(transaction, collection, new_face_ids(len(new)), values, vectors[new]))
    return [next(added) if row is None else row for row in known]


def _new_face(face: HasEmbedding, image: bytes, external_image_id: str | None) -> NewFace:
    box = face.box
    return NewFace(image, external_image_id, box.left, box.top, box.width, box.height, face.confidence)


def _match(faces: Sequence[HasEmbedding], stored: Sequence[FaceRow]) -> list[int | None]:
    """Return for each face the row of the stored one at its place, each at most once; None for a new face."""
    unmatched = list(stored)
    rows: list[int | None] = []
    for face in faces:
        best = max(unmatched, key=lambda known: known.box.overlap(face.box), default=None)
        if best is not None and best.box.overlap(face.box) > SAME_FACE_OVERLAP:
            unmatched.remove(best)
            rows.append(best.row)
        else:
            rows.append(None)
    return rows
