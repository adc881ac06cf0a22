"""Create, delete, describe and list collections, with their tags and settings."""

from __future__ import annotations

import json
import time
from collections.abc import Collection as Container
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mien.domain.errors import CollectionExists, CollectionNotFound, ModelMismatch
from mien.domain.faces import Collection, Page
from mien.gallery import validation
from mien.gallery.scoring import Calibration
from mien.gallery.store.database import Database, Reader, storage_errors
from mien.gallery.store.queries import Pager
from mien.gallery.store.rows import CollectionRow
from mien.gallery.store.schema import ERASE_STATEMENTS, first_row
from mien.gallery.store.source import face_vectors, user_vectors
from mien.gallery.vector_index import IndexManager

ERASE_BATCH = 5000
"""Rows of one transaction, so that nobody waits long for it."""

_NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class CollectionAccess:
    """What the parts of a gallery share: its database, its vector indexes and the version of its model."""

    database: Database
    indexes: IndexManager
    model_version: str

    def find(self, collection_id: str, reader: Reader | None = None) -> CollectionRow:
        """Read a collection as it is now, or as the transaction `reader` sees it. Raises CollectionNotFound."""
        validation.name("collection id", collection_id)
        found = (reader or self.database).read("SELECT * FROM collection WHERE collection_id = ?", (collection_id,))
        if not found:
            raise CollectionNotFound(f"There is no collection {collection_id}.")
        return CollectionRow(*found[0])

    def find_comparable(self, collection_id: str, reader: Reader | None = None) -> CollectionRow:
        """Read a collection whose embeddings are of this gallery's model. Raises ModelMismatch for another one."""
        collection = self.find(collection_id, reader)
        if collection.model_version != self.model_version:
            raise ModelMismatch(
                f"The collection {collection_id} holds embeddings of the model {collection.model_version}, which "
                f"cannot be compared with those of {self.model_version}. Enrol its photos again in another collection."
            )
        return collection

    @contextmanager
    def deletion(self, vector_set: str, *, wait: bool = True) -> Iterator[list[int]]:
        """Erase the vectors whose rows the block deletes and lists from the vector index, too; see `IndexManager`.

        The rows listed are those of the tables. Raises StorageError.
        """
        first = first_row(int(vector_set.partition("-")[2]))
        with storage_errors("index"), self.indexes.deletion(vector_set, wait=wait) as within:
            rows: list[int] = []
            yield rows
            within.extend(row - first for row in rows)


class Collections:
    """The operations on collections. See `Gallery` for the errors that all operations raise."""

    def __init__(self, access: CollectionAccess) -> None:
        self._access = access
        self._database = access.database

    def create(self, collection_id: str, tags: Mapping[str, str] = _NO_TAGS) -> Collection:
        """Create an empty collection for embeddings of this gallery's model.

        Args:
            collection_id: 1 to 255 letters, digits, "_", "." and "-".
            tags: At most 200; keys of 1 to 128 characters that do not begin with "aws:", values of at most 256.

        Raises:
            CollectionExists: The id is taken.
            LimitExceeded: There are more than 200 tags.
        """
        validation.name("collection id", collection_id)
        text = json.dumps(validation.tags(tags))
        with self._database.write() as transaction:
            if transaction.read("SELECT 1 FROM collection WHERE collection_id = ?", (collection_id,)):
                raise CollectionExists(f"The collection {collection_id} exists already.")
            transaction.execute(
                "INSERT INTO collection (collection_id, model_version, created_at, tags) VALUES (?, ?, ?, ?)",
                (collection_id, self._access.model_version, time.time(), text),
            )
        return self.describe(collection_id)

    def delete(self, collection_id: str) -> None:
        """Delete a collection with its faces and users.

        It is gone for everybody at once; its rows are then overwritten in small transactions, before this returns. A
        process that is killed meanwhile leaves the rest to the next one that opens the folder.
        """
        with self._database.write() as transaction:
            key = self._access.find(collection_id, transaction).key
            transaction.execute("DELETE FROM collection WHERE key = ?", (key,))
            transaction.execute("INSERT INTO dropped VALUES (?)", (key,))
        for vector_set in (face_vectors(key), user_vectors(key)):
            self._access.indexes.drop(vector_set)
        self._erase(key)

    def describe(self, collection_id: str) -> Collection:
        """Return a collection's model version, number of faces and users, and time of creation (UTC)."""
        return _collection(self._access.find(collection_id))

    def list(self, limit: int | None = None, token: str | None = None) -> Page[Collection]:
        """List collections in the order of their creation.

        Args:
            limit: Collections on a page, 1 or more; None for all.
            token: `next_token` of the page before.
        """
        pager = Pager(limit, token, "collections")
        rows = self._database.read(
            "SELECT * FROM collection WHERE key > ? ORDER BY key LIMIT ?", (pager.after, pager.fetch)
        )
        return pager.page([CollectionRow(*row) for row in rows], _collection, lambda collection: collection.key)

    def tags(self, collection_id: str) -> dict[str, str]:
        """Return a collection's tags."""
        return self._access.find(collection_id).own_tags

    def tag(self, collection_id: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists gets the new value. Raises LimitExceeded beyond 200."""
        with self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            merged = validation.tags(collection.own_tags | dict(tags))
            transaction.execute("UPDATE collection SET tags = ? WHERE key = ?", (json.dumps(merged), collection.key))

    def untag(self, collection_id: str, keys: Container[str]) -> None:
        """Remove tags; keys that do not exist are ignored."""
        with self._database.write() as transaction:
            collection = self._access.find(collection_id, transaction)
            kept = {key: value for key, value in collection.own_tags.items() if key not in keys}
            transaction.execute("UPDATE collection SET tags = ? WHERE key = ?", (json.dumps(kept), collection.key))

    def settings(self, collection_id: str) -> dict[str, Any]:
        """Return what `replace_settings` stored.

        Searches use its key "calibration", the fields of `scoring.Calibration`.
        """
        return self._access.find(collection_id).own_settings

    def calibration(self, collection_id: str) -> Calibration:
        """Return the calibration that searches use: the collection's own, or the shipped one."""
        return self._access.find(collection_id).calibration

    def replace_settings(self, collection_id: str, settings: Mapping[str, Any]) -> None:
        """Store a small JSON object as the collection's settings, in place of the former one."""
        with self._database.write() as transaction:
            key = self._access.find(collection_id, transaction).key
            transaction.execute("UPDATE collection SET settings = ? WHERE key = ?", (json.dumps(dict(settings)), key))

    def finish_deletions(self) -> None:
        """Erase what a process that was killed while it deleted a collection has left, if this one may write."""
        if self._database.is_read_only:
            return
        for (key,) in self._database.read("SELECT key FROM dropped"):
            self._erase(key)

    def _erase(self, key: int) -> None:
        for statement in ERASE_STATEMENTS:
            erased = ERASE_BATCH
            while erased == ERASE_BATCH:
                with self._database.write() as transaction:
                    erased = transaction.execute(statement, (first_row(key), first_row(key + 1), ERASE_BATCH)).rowcount
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM dropped WHERE key = ?", (key,))


def _collection(row: CollectionRow) -> Collection:
    return Collection(
        collection_id=row.collection_id,
        model_version=row.model_version,
        face_count=row.face_count,
        user_count=row.user_count,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )
