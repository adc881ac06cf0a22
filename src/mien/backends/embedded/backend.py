"""Everything the embedded backend is made of, put together over one data folder."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mien.app.app import FaceApp
from mien.backends.embedded import bucket, catalog, events
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.catalog import SqliteCatalog
from mien.backends.embedded.database import open_database, storage_errors
from mien.backends.embedded.events import EventQueue
from mien.backends.embedded.leftovers import residue
from mien.backends.embedded.recognizer import LocalRecognizer
from mien.domain.errors import CollectionExists
from mien.domain.policy import Policy
from mien.security.signing import Signer

if TYPE_CHECKING:
    from mien.backends.embedded.worker import Worker
    from mien.domain.faces import Issue
    from mien.engine import FaceEngine
    from mien.gallery import Gallery


class EmbeddedBackend:
    """Opens files and tables at once, engine and gallery when first needed; `app` is what it is for."""

    def __init__(self, data_dir: Path, collection: str, policy: Policy, open_engine: Callable[[], FaceEngine]) -> None:
        self._data_dir, self._open_engine, self._collection = data_dir, open_engine, collection
        self._opening = threading.RLock()
        self.database = open_database(data_dir / "mien.db", bucket.SCHEMA + catalog.SCHEMA + events.SCHEMA)
        self.signer = Signer(_secret(data_dir / "secret"))
        self.queue = EventQueue(self.database)
        self.bucket = FolderBucket(data_dir / "bucket", self.database, self.signer, self.queue.put, self.queue.drop)
        self.catalog = SqliteCatalog(self.database)
        self.recognizer = LocalRecognizer(self.engine, self.open_collection, collection)
        self.app = FaceApp(
            self.bucket,
            self.recognizer,
            self.catalog,
            policy,
            leftovers=partial(residue, data_dir),
            inspect=self._inspect,
            close=self.close,
        )

    def engine(self) -> FaceEngine:
        with self._opening:
            return self._engine

    def gallery(self) -> Gallery:
        with self._opening:
            return self._gallery

    def open_collection(self) -> Gallery:
        """The gallery, with the application's collection in it."""
        gallery = self.gallery()
        with suppress(CollectionExists):
            gallery.collections.create(self._collection)
        return gallery

    def worker(self, threads: int) -> Worker:
        """What indexes uploads; it is not yet started."""
        from mien.backends.embedded.worker import Worker

        return Worker(self.app, self.bucket, self.catalog, self.queue, self._data_dir / "bucket", threads)

    def close(self) -> None:
        if "_gallery" in self.__dict__:
            self._gallery.close()
        self.database.close()

    def _inspect(self) -> list[Issue]:
        from mien.backends.embedded import maintenance

        return maintenance.hygiene(self.open_collection(), self._collection)

    @cached_property
    def _engine(self) -> FaceEngine:
        return self._open_engine()

    @cached_property
    def _gallery(self) -> Gallery:
        from mien.gallery import Gallery

        return Gallery(self._data_dir, self._engine.model_version)


def _secret(path: Path) -> bytes:
    """The folder's own secret, made at the first use, readable by its owner only."""
    with storage_errors():
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()
