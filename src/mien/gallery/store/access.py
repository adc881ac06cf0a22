"""What the parts of the gallery share: the database, the indexes, and the collection that a call names."""

from __future__ import annotations

import json
from typing import NamedTuple

from mien.domain.errors import CollectionNotFound, ModelMismatch
from mien.gallery import validation
from mien.gallery.scoring import Calibration
from mien.gallery.store.database import Database, Reader
from mien.gallery.vector_index import Indexes


class CollectionRow(NamedTuple):
    """A row of the table `collection`, in its order."""

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


class CollectionAccess:
    _database: Database
    _indexes: Indexes
    model_version: str

    def _collection(self, collection_id: str, reader: Reader | None = None) -> CollectionRow:
        """The collection as it is now, or as the transaction sees it. Raises CollectionNotFound."""
        validation.name("collection id", collection_id)
        found = (reader or self._database).read("SELECT * FROM collection WHERE collection_id = ?", (collection_id,))
        if not found:
            raise CollectionNotFound(f"There is no collection {collection_id}.")
        return CollectionRow(*found[0])

    def _comparable(self, collection_id: str, reader: Reader | None = None) -> CollectionRow:
        """The collection, if its embeddings are of this gallery's model. Raises ModelMismatch."""
        record = self._collection(collection_id, reader)
        if record.model_version != self.model_version:
            raise ModelMismatch(
                f"The collection {collection_id} holds embeddings of the model {record.model_version}, which cannot "
                f"be compared with those of {self.model_version}. Enrol its photos anew in another collection."
            )
        return record
