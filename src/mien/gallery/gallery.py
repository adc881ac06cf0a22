"""Open the gallery of a data folder: its collections of faces and users, and 1:N searches in them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from mien.gallery.collections import CollectionAccess, Collections
from mien.gallery.faces import Faces
from mien.gallery.search import Search
from mien.gallery.store import schema
from mien.gallery.store.database import Database
from mien.gallery.store.rows import uuid_to_bytes
from mien.gallery.store.source import SqliteVectorSource, face_vectors, user_vectors
from mien.gallery.users import Users
from mien.gallery.vector_index import IndexConfig, IndexManager

DATABASE_FILE, INDEX_FOLDER = "mien.db", "index"


class Gallery:
    """Stores collections of faces and users, with Rekognition's semantics.

    ```python
    with Gallery(Path("data"), engine.model_version) as gallery:
        gallery.collections.create("people")
        gallery.faces.index("people", engine.read(photo), image_id=image_id(photo))
        matches = gallery.search.faces("people", probes, threshold=90)
    ```

    The parts hold the operations: `collections`, `faces`, `users` and `search`. `mien.db` in the folder is the source
    of truth, `index/` a cache that can be deleted while no process has the folder open.

    Safe for many threads, and for several processes on one folder: each sees what another has committed. A process that
    was forked opens a gallery of its own. Every acknowledged write survives the death of the process.

    Args:
        folder: The data folder; it is created where it is missing.
        model_version: The version of the model whose embeddings are stored and searched; collections keep theirs.
        index_config: Sizes of the vector index, for tests; the defaults suit galleries of any size.

    Raises:
        CollectionNotFound: By every operation that names a collection, when there is none of that id.
        InvalidInput: By every operation, for an id, a limit, a token, a threshold or embeddings that are not valid.
        ModelMismatch: By the operations that compare embeddings, when the collection is of another model.
        StorageError: By every operation. Subclasses tell a full disk (StorageFull), damage (StorageDamaged) and another
            process that holds the database for more than 30 seconds (StorageBusy) apart.
    """

    collections: Collections
    faces: Faces
    users: Users
    search: Search

    def __init__(self, folder: Path, model_version: str, *, index_config: IndexConfig | None = None) -> None:
        self.model_version = model_version
        self._database = Database(folder / DATABASE_FILE, {"uuid_blob": uuid_to_bytes})
        identity = schema.prepare(self._database)
        source = SqliteVectorSource(self._database, f"{identity} {model_version}")
        self._indexes = IndexManager(folder / INDEX_FOLDER, source, index_config)
        self._access = CollectionAccess(self._database, self._indexes, model_version)
        self.collections = Collections(self._access)
        self.faces = Faces(self._access)
        self.users = Users(self._access)
        self.search = Search(self._access)
        self.collections.finish_deletions()

    def check(self) -> None:
        """Read the whole database; raise StorageDamaged when it is corrupt. Takes seconds per gigabyte."""
        self._database.check()

    def compact(self, collection_id: str) -> None:
        """Build a collection's vector index and drop deleted faces from it now instead of in the background.

        Takes a few seconds per million faces; searches go on meanwhile.

        Raises:
            OSError: The index cannot be written, for instance because the disk is full. Searches stay exact.
        """
        key = self._access.find(collection_id).key
        for vector_set in (face_vectors(key), user_vectors(key)):
            self._indexes.build(vector_set)

    def stale_vector_sets(self) -> list[str]:
        """Name the folders of the vector index that hold vectors which the database no longer has.

        Empty unless a process died while it deleted some; the next build erases them. Reads all of the index.
        """
        return self._indexes.stale_sets()

    def close(self) -> None:
        """Stop the background work and close all files; a closed gallery raises StorageError."""
        self._indexes.close()
        self._database.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()
