"""Index, add, list and delete the faces of a collection, and read their embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mien.domain.errors import InvalidInput
from mien.domain.faces import EMBEDDING_DIMENSION, Page, StoredFace
from mien.gallery import validation
from mien.gallery.collections import CollectionAccess
from mien.gallery.indexing import HasEmbedding, NewFace, index_image, insert_faces
from mien.gallery.store.database import Transaction
from mien.gallery.store.queries import FaceFilter, Pager, embeddings_of, faces_by_id, faces_by_row, list_faces
from mien.gallery.store.rows import CollectionRow, FaceRow, bytes_to_uuid, new_face_ids, uuid_to_bytes
from mien.gallery.store.source import face_vectors
from mien.gallery.vector_index import Vectors

BULK_CHUNK = 20_000
"""Embeddings of one transaction."""

_WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
_COUNT = "SELECT count(*) FROM face WHERE external_image_id = ? AND row > ? AND row < ?"
_DELETE_STATEMENTS = (
    "DELETE FROM face WHERE row IN (SELECT value FROM json_each(?))",
    "DELETE FROM face_vector WHERE row IN (SELECT value FROM json_each(?))",
)


class Refusal(StrEnum):
    """Why an operation left a face as it was, in Rekognition's words."""

    FACE_NOT_FOUND = "FACE_NOT_FOUND"
    ASSOCIATED_TO_AN_EXISTING_USER = "ASSOCIATED_TO_AN_EXISTING_USER"
    ASSOCIATED_TO_A_DIFFERENT_USER = "ASSOCIATED_TO_A_DIFFERENT_USER"
    LOW_MATCH_CONFIDENCE = "LOW_MATCH_CONFIDENCE"


class Refused(NamedTuple):
    """A face that was left as it was; `user_id` names its user where that is the reason."""

    face_id: str
    user_id: str | None
    reason: Refusal


@dataclass(frozen=True, slots=True)
class FaceDeletion:
    """The ids of the faces that were deleted, and the faces that were not."""

    deleted: tuple[str, ...]
    failed: tuple[Refused, ...]


class Faces:
    """The operations on faces. See `Gallery` for the errors that all operations raise."""

    def __init__(self, access: CollectionAccess) -> None:
        self._access = access
        self._database = access.database
        self._counts: dict[tuple[int, str], tuple[int, int, int]] = {}

    def index(
        self,
        collection_id: str,
        faces: Sequence[HasEmbedding],
        *,
        image_id: str,
        external_image_id: str | None = None,
    ) -> tuple[StoredFace, ...]:
        """Store the faces of one image; return them in their order.

        A face at the same place of an image with the same image id and external image id is stored once: it keeps its
        face id, also when two processes index the image at the same moment.

        Args:
            collection_id: A collection of this gallery's model.
            faces: Each with its box, confidence and embedding; see `HasEmbedding`.
            image_id: A lower-case UUID; `mien.gallery.image_id` makes it of the image's bytes.
            external_image_id: Any name, 1 to 255 letters, digits, "_", ".", "-" and ":".
        """
        image, external = _image(image_id), _external(external_image_id)
        vectors = validation.embeddings(_stack(faces))
        with self._database.write() as transaction:
            collection = self._access.find_comparable(collection_id, transaction)
            rows = index_image(transaction, collection, faces, vectors, image, external)
            stored = faces_by_row(transaction, rows)
        return tuple(stored[row].stored(collection.model_version) for row in rows)

    def index_each(
        self,
        collection_id: str,
        faces: Sequence[HasEmbedding],
        *,
        image_ids: Sequence[str],
        external_image_id: str | None = None,
    ) -> tuple[StoredFace, ...]:
        """Store faces of as many images, one of each, all of them or none; see `index`."""
        images, external = [_image(image_id) for image_id in image_ids], _external(external_image_id)
        vectors = validation.embeddings(_stack(faces))
        with self._database.write() as transaction:
            rows: list[int] = []
            for number, image in enumerate(images):
                collection = self._access.find_comparable(collection_id, transaction)  # which counts what was added
                only = slice(number, number + 1)
                rows += index_image(transaction, collection, faces[only], vectors[only], image, external)
            stored = faces_by_row(transaction, rows)
        return tuple(stored[row].stored(self._access.model_version) for row in rows)

    def add_embeddings(
        self, collection_id: str, embeddings: ArrayLike, external_image_ids: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """Store faces that come without photos; return their face ids, which are their image ids too.

        Each 20,000 are one transaction: when a call fails, the chunks before are stored.

        Args:
            collection_id: A collection of this gallery's model.
            embeddings: Unit vectors (n, 128), taken as float32.
            external_image_ids: One for each embedding, as in `index`; None for none.
        """
        vectors = validation.embeddings(embeddings)
        names: Sequence[str | None] = [None] * len(vectors) if external_image_ids is None else external_image_ids
        if len(names) != len(vectors):
            raise InvalidInput("There must be as many external image ids as embeddings.")
        for name in set(names):
            _external(name)
        self._access.find_comparable(collection_id)
        face_ids: list[str] = []
        for start in range(0, len(vectors), BULK_CHUNK):
            chunk = slice(start, start + BULK_CHUNK)
            face_ids += self._add_chunk(collection_id, vectors[chunk], names[chunk])
        return tuple(face_ids)

    def list(
        self,
        collection_id: str,
        *,
        user_id: str | None = None,
        face_ids: Sequence[str] | None = None,
        external_image_id: str | None = None,
        limit: int | None = None,
        token: str | None = None,
    ) -> Page[StoredFace]:
        """List the faces that pass every filter given, in the order in which they were added.

        A filter that names what does not exist passes nothing.

        Args:
            collection_id: The collection.
            user_id: Only this user's faces.
            face_ids: Only these faces.
            external_image_id: Only faces that were stored with this name.
            limit: Faces on a page, 1 or more; None for all.
            token: `next_token` of the page before, of a listing with the same filters.
        """
        collection = self._access.find(collection_id)
        ids = None if face_ids is None else sorted(set(face_ids))
        pager = Pager(limit, token, "faces", collection.key, user_id, ids, external_image_id)
        first, end = collection.span
        filters: list[tuple[FaceFilter, Sequence[Any]]] = [(FaceFilter.SPAN, (max(first, pager.after), end))]
        if user_id is not None:
            filters.append((FaceFilter.USER, (user_id, first, end)))
        if external_image_id is not None:
            filters.append((FaceFilter.EXTERNAL_IMAGE_ID, (external_image_id,)))
        if ids is not None:
            filters.append((FaceFilter.FACE_IDS, (json.dumps(ids),)))
        faces = list_faces(self._database, filters, pager.fetch)
        return pager.page(faces, lambda face: face.stored(collection.model_version), lambda face: face.row)

    def count_others(self, collection_id: str, external_image_id: str) -> int:
        """Count the faces of a collection that were not stored with this name.

        Those that were are counted since the last time only, as long as nothing was deleted: it takes long.
        """
        collection = self._access.find(collection_id)
        total, added, named = self._counts.get((collection.key, external_image_id), (0, 0, 0))
        if (collection.face_count, collection.faces_added) == (total, added):
            return total - named
        with self._database.snapshot() as snapshot:
            collection = self._access.find(collection_id, snapshot)
            # no state is older than the one that was counted last: only what was added, or deleted, is to be seen
            if collection.face_count - total != collection.faces_added - added:
                added = named = 0
            first, _ = collection.span
            rows = first + added, first + collection.faces_added + 1
            named += int(snapshot.read(_COUNT, (external_image_id, *rows))[0][0])
        self._counts[collection.key, external_image_id] = collection.face_count, collection.faces_added, named
        return collection.face_count - named

    def embeddings(self, collection_id: str, face_ids: Sequence[str]) -> Vectors:
        """Return the embeddings of faces: unit vectors (n, 128) of float32, in the order of `face_ids`.

        Raises:
            FaceNotFound: One of the faces is not in the collection.
        """
        with self._database.snapshot() as snapshot:
            return embeddings_of(snapshot, self._access.find(collection_id, snapshot), face_ids)

    def delete(self, collection_id: str, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete faces that belong to no user; those of users and unknown ids are refused, each with its reason.

        Their vectors are overwritten in the database and in the files of the index when this returns.
        """
        wanted = list(dict.fromkeys(face_ids))
        vector_set = face_vectors(self._access.find(collection_id).key)
        with self._access.deletion(vector_set) as deleted, self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            known = faces_by_id(transaction, collection, wanted)
            free = {face_id: face.row for face_id, face in known.items() if face.user is None}
            deleted.extend(free.values())
            _delete(transaction, collection, deleted)
        return FaceDeletion(
            deleted=tuple(free),
            failed=tuple(_refused(face_id, known.get(face_id)) for face_id in wanted if face_id not in free),
        )

    def _add_chunk(self, collection_id: str, vectors: Vectors, names: Sequence[str | None]) -> map[str]:
        face_ids = new_face_ids(len(vectors))
        faces = (NewFace(None, name, *_WHOLE_IMAGE, 100.0) for name in names)
        with self._database.write() as transaction:
            collection = self._access.find_comparable(collection_id, transaction)
            insert_faces(transaction, collection, face_ids, faces, vectors)
        return map(bytes_to_uuid, face_ids)


def _refused(face_id: str, face: FaceRow | None) -> Refused:
    if face is None:
        return Refused(face_id, None, Refusal.FACE_NOT_FOUND)
    return Refused(face_id, face.user_id, Refusal.ASSOCIATED_TO_AN_EXISTING_USER)


def _delete(transaction: Transaction, collection: CollectionRow, rows: list[int]) -> None:
    for statement in _DELETE_STATEMENTS:
        transaction.execute(statement, (json.dumps(rows),))
    transaction.execute("UPDATE collection SET face_count = face_count - ? WHERE key = ?", (len(rows), collection.key))


def _stack(faces: Sequence[HasEmbedding]) -> Vectors:
    vectors = np.array([face.embedding for face in faces], np.float32)
    return vectors.reshape(len(faces), -1 if faces else EMBEDDING_DIMENSION)


def _image(image_id: str) -> bytes:
    image = uuid_to_bytes(image_id)
    if not image:
        raise InvalidInput("The image id must be a lower-case UUID.")
    return image


def _external(external_image_id: str | None) -> str | None:
    return None if external_image_id is None else validation.name("external image id", external_image_id)
