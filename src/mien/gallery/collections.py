"""Collections: create, delete, describe, list, their tags and their settings."""

from __future__ import annotations

import json
import time
from collections.abc import Collection as Some
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mien.domain.errors import CollectionExists
from mien.domain.faces import Collection, Page
from mien.gallery import validation
from mien.gallery.store.access import CollectionAccess, CollectionRow
from mien.gallery.store.schema import first_row
from mien.gallery.store.source import faces_space, users_space
from mien.gallery.validation import Pager

ERASED_AT_ONCE = 5000
_NONE: Mapping[str, str] = {}


class Collections(CollectionAccess):
    def create_collection(self, collection_id: str, tags: Mapping[str, str] = _NONE) -> Collection:
        """An empty collection, pinned to this gallery's model. Raises CollectionExists."""
        validation.name("collection id", collection_id)
        text = json.dumps(validation.tags(tags))
        with self._database.write() as transaction:
            if transaction.read("SELECT 1 FROM collection WHERE collection_id = ?", (collection_id,)):
                raise CollectionExists(f"The collection {collection_id} exists already.")
            transaction.execute(
                "INSERT INTO collection (collection_id, model_version, created_at, tags) VALUES (?, ?, ?, ?)",
                (collection_id, self.model_version, time.time(), text),
            )
        return self.describe_collection(collection_id)

    def delete_collection(self, collection_id: str) -> None:
        """Gone at once with its faces and users; their rows are erased bit by bit, so that nobody waits long."""
        with self._database.write() as transaction:
            key = self._collection(collection_id, transaction).key
            transaction.execute("DELETE FROM collection WHERE key = ?", (key,))
            transaction.execute("INSERT INTO dropped VALUES (?)", (key,))
        for space in (faces_space(key), users_space(key)):
            self._indexes.drop(space)
        self._erase(key)

    def describe_collection(self, collection_id: str) -> Collection:
        return _collection(self._collection(collection_id))

    def list_collections(self, limit: int | None = None, token: str | None = None) -> Page[Collection]:
        """In order of creation; without a limit, all."""
        pager = Pager(limit, token, "collections")
        rows = self._database.read(
            "SELECT * FROM collection WHERE key > ? ORDER BY key LIMIT ?", (pager.after, pager.fetch)
        )
        return pager.page([CollectionRow(*row) for row in rows], _collection, lambda record: record.key)

    def tags(self, collection_id: str) -> dict[str, str]:
        tags: dict[str, str] = json.loads(self._collection(collection_id).tags)
        return tags

    def tag(self, collection_id: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that is there gets the new value. Raises LimitExceeded beyond 200."""
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            merged = validation.tags(json.loads(record.tags) | dict(tags))
            transaction.execute("UPDATE collection SET tags = ? WHERE key = ?", (json.dumps(merged), record.key))

    def untag(self, collection_id: str, keys: Some[str]) -> None:
        with self._database.write() as transaction:
            record = self._collection(collection_id, transaction)
            left = {key: value for key, value in json.loads(record.tags).items() if key not in keys}
            transaction.execute("UPDATE collection SET tags = ? WHERE key = ?", (json.dumps(left), record.key))

    def collection_settings(self, collection_id: str) -> dict[str, Any]:
        """What was set; of it, searches use `calibration`: the fields of `similarity.Calibration`."""
        settings: dict[str, Any] = json.loads(self._collection(collection_id).settings)
        return settings

    def set_collection_settings(self, collection_id: str, settings: Mapping[str, Any]) -> None:
        """Replace the collection's settings by a small JSON object."""
        with self._database.write() as transaction:
            key = self._collection(collection_id, transaction).key
            transaction.execute("UPDATE collection SET settings = ? WHERE key = ?", (json.dumps(dict(settings)), key))

    def _erase_dropped(self) -> None:
        """Go on where a process that deleted a collection was killed."""
        for (key,) in self._database.read("SELECT key FROM dropped"):
            self._erase(key)

    def _erase(self, key: int) -> None:
        first, end = first_row(key), first_row(key + 1)
        for table in ("face_vector", "face", "user_vector", "user"):
            erased = ERASED_AT_ONCE
            while erased == ERASED_AT_ONCE:
                with self._database.write() as transaction:
                    erased = transaction.execute(
                        f"DELETE FROM {table} WHERE row IN (SELECT row FROM {table} WHERE row > ? AND row < ? LIMIT ?)",
                        (first, end, ERASED_AT_ONCE),
                    ).rowcount
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM dropped WHERE key = ?", (key,))


def _collection(record: CollectionRow) -> Collection:
    return Collection(
        collection_id=record.collection_id,
        model_version=record.model_version,
        face_count=record.face_count,
        user_count=record.user_count,
        created_at=datetime.fromtimestamp(record.created_at, UTC),
    )
