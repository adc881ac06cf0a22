"""Faces of a collection: list, get, delete; and their embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.domain.errors import FaceNotFound
from mien.domain.faces import Page, StoredFace
from mien.gallery.results import FaceDeletion, Refusal, Refused
from mien.gallery.store.access import CollectionAccess, CollectionRow
from mien.gallery.store.database import Transaction
from mien.gallery.store.rows import AMONG, STORED, FaceRow, faces_by_id, marks, span, uuid_to_bytes, vectors_of
from mien.gallery.store.schema import first_row
from mien.gallery.store.source import faces_space
from mien.gallery.validation import Pager
from mien.gallery.vector_index import Vectors


class Faces(CollectionAccess):
    def list_faces(
        self,
        collection_id: str,
        *,
        user_id: str | None = None,
        face_ids: Sequence[str] | None = None,
        external_image_id: str | None = None,
        limit: int | None = None,
        token: str | None = None,
    ) -> Page[StoredFace]:
        """Faces in the order of their addition, those that pass every filter given; without a limit, all.

        A filter that names what is not there finds nothing.
        """
        record = self._collection(collection_id)
        ids = None if face_ids is None else sorted(set(face_ids))
        pager = Pager(limit, token, "faces", record.key, user_id, ids, external_image_id)
        first, end = span(record)
        where, values = _filters(record, user_id, ids, external_image_id)
        rows = self._database.read(
            f"{STORED} WHERE {where} AND f.row > ? AND f.row < ? ORDER BY f.row LIMIT ?",
            [*values, max(first, pager.after), end, pager.fetch],
        )
        return pager.page(
            [FaceRow(*row) for row in rows], lambda face: face.stored(record.model_version), lambda face: face.row
        )

    def get_faces(self, collection_id: str, face_ids: Sequence[str]) -> list[StoredFace]:
        """Those of the faces that are there, in the order asked."""
        record = self._collection(collection_id)
        return [face.stored(record.model_version) for face in faces_by_id(self._database, record, face_ids).values()]

    def embeddings(self, collection_id: str, face_ids: Sequence[str]) -> Vectors:
        """Unit vectors (n, 128) in the order asked. Raises FaceNotFound when one is not there."""
        with self._database.snapshot() as snapshot:
            known = faces_by_id(snapshot, self._collection(collection_id, snapshot), face_ids)
            if missing := [face_id for face_id in face_ids if face_id not in known]:
                raise FaceNotFound(f"The face {missing[0]} is not in the collection {collection_id}.")
            return vectors_of(snapshot, [known[face_id].row for face_id in face_ids])

    def delete_faces(self, collection_id: str, face_ids: Sequence[str]) -> FaceDeletion:
        """Delete all faces that belong to no user; the others are refused, as are unknown ones."""
        asked = list(dict.fromkeys(face_ids))
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            known = faces_by_id(transaction, record, asked)
            free = [face for face in known.values() if face.user is None]
            rows = [face.row for face in free]
            _delete(transaction, record, rows)
        self._indexes.bury(faces_space(record.key), np.array(rows, np.int64) - first_row(record.key))
        return FaceDeletion(
            deleted=tuple(face_id for face_id, face in known.items() if face.user is None),
            failed=tuple(
                _refused(face_id, known.get(face_id))
                for face_id in asked
                if face_id not in known or known[face_id].user
            ),
        )


def _refused(face_id: str, face: FaceRow | None) -> Refused:
    if face is None:
        return Refused(face_id, None, Refusal.FACE_NOT_FOUND)
    return Refused(face_id, face.user_id, Refusal.ASSOCIATED_TO_AN_EXISTING_USER)


def _delete(transaction: Transaction, record: CollectionRow, rows: list[int]) -> None:
    for table in ("face", "face_vector"):
        transaction.execute(f"DELETE FROM {table} WHERE row {AMONG}", (json.dumps(rows),))
    transaction.execute("UPDATE collection SET face_count = face_count - ? WHERE key = ?", (len(rows), record.key))


def _filters(
    record: CollectionRow, user_id: str | None, face_ids: list[str] | None, external_image_id: str | None
) -> tuple[str, list[Any]]:
    """A condition, and the values of its question marks."""
    conditions, values = ["TRUE"], []
    if user_id is not None:
        conditions.append("f.user = (SELECT row FROM user WHERE user_id = ? AND row > ? AND row < ?)")
        values += [user_id, *span(record)]
    if external_image_id is not None:
        conditions.append("f.external_image_id = ?")
        values.append(external_image_id)
    if face_ids is not None:
        conditions.append(f"f.face_id IN ({marks(face_ids)})")
        values += map(uuid_to_bytes, face_ids)
    return " AND ".join(conditions), values
