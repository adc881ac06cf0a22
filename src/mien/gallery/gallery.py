"""The gallery: collections of faces and users in a data folder, and 1:N searches in them.

The parts hold the operations, with Rekognition's semantics in the domain's words: `collections`,
`indexing`, `faces`, `users`, `search`. `mien.db` in the folder is the truth; `index/` a cache of it.
"""

from __future__ import annotations

from pathlib import Path

from mien.gallery.collections import Collections
from mien.gallery.indexing import Indexing
from mien.gallery.search import Search
from mien.gallery.store import schema
from mien.gallery.store.database import Database
from mien.gallery.store.source import SqliteVectorSource, faces_space, users_space
from mien.gallery.users import Users
from mien.gallery.vector_index import Indexes

FILE, INDEX = "mien.db", "index"


class Gallery(Collections, Indexing, Users, Search):
    """Safe for many threads, and for several processes on one folder: each sees what another has committed.

    Every answered write survives the death of the process. All operations raise StorageError leaves,
    CollectionNotFound, and InvalidInput for what cannot be; those that compare embeddings raise
    ModelMismatch when the collection's are of another model than `model_version`.
    """

    def __init__(self, folder: Path, model_version: str) -> None:
        self.model_version = model_version
        self._database = Database(folder / FILE)
        identity = schema.prepare(self._database)
        self._indexes = Indexes(folder / INDEX, SqliteVectorSource(self._database, f"{identity} {model_version}"))
        self._erase_dropped()

    def check(self) -> None:
        """Read the whole database; StorageDamaged when it is corrupt. Takes seconds per gigabyte."""
        self._database.check()

    def compact(self, collection_id: str) -> None:
        """Build the search index and take deleted faces out of it now instead of in the background.

        Takes a few seconds per million faces; searches go on meanwhile.
        """
        key = self._collection(collection_id).key
        for space in (faces_space(key), users_space(key)):
            self._indexes.build(space)

    def close(self) -> None:
        self._indexes.close()
        self._database.close()
