"""Compose the embedded backend over one data folder."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from mien.app.app import FaceApp
from mien.app.erasure import keyed_hash
from mien.app.group_ports import Grouping
from mien.backends.embedded import backup
from mien.backends.embedded.audit import SqliteAudit
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.catalog import SqliteCatalog
from mien.backends.embedded.database import empty_wal, open_database, rebuild, stored_model, truncate_wal
from mien.backends.embedded.disk_reserve import DiskReserve
from mien.backends.embedded.event_queue import EventQueue
from mien.backends.embedded.events import PRESENCE_FILE, Worker
from mien.backends.embedded.migrations import COPIES, remove_copies
from mien.backends.embedded.recognizer import LocalRecognizer
from mien.domain.errors import CollectionExists, CollectionNotFound, SetupError, StorageError, StorageReadOnly
from mien.domain.object_keys import installation_mark
from mien.domain.policy import Policy
from mien.domain.records import FaceRecord, Person
from mien.domain.results import HealthWarning
from mien.gallery.store import private_files
from mien.gallery.store.database import storage_errors
from mien.security import secret_files
from mien.security.signing import Signer

if TYPE_CHECKING:
    from mien.domain.faces import Issue
    from mien.engine import FaceEngine
    from mien.gallery import Gallery

LOOK_SECONDS = 300.0
RESTORING = "restoring"
HALF_RESTORED = "A restore into this data folder was interrupted. Repeat `mien restore FILE`, which begins anew."
SECRET_BYTES = 32
LOST_FACES = HealthWarning(
    "faces_lost",
    "Others deleted the collection of the enrolled faces; `mien repair --yes` enrols all photos again.",
)
T = TypeVar("T")

CONTENT = (
    *("mien.db", "mien.db-wal", "mien.db-shm", "bucket", "index", "secret", "reserve"),
    *("api-keys.json", "api-keys.json.lock", PRESENCE_FILE, backup.WORK_FOLDER, RESTORING, COPIES),
)
"""What Mien keeps in a data folder; whatever else lies there is not its own."""

SIGNS = ("mien.db", "api-keys.json", PRESENCE_FILE, RESTORING)
"""Of these, a data folder has one at least. Others have folders of the other names, such as `backup`, too."""


class EmbeddedBackend:
    """Opens a data folder: files and tables at once, engine and gallery when they are first needed.

    Attributes:
        app: The application on this backend; closing it closes the backend.
        data_dir: The folder.
        bucket, recognizer, catalog: The three ports.
        database: mien.db.
        is_read_only: Whether the folder can only be read.
        audit: The audit log.
        queue: The object-created events.
        signer: Signs with the folder's own secret.
        engine: Returns the FaceEngine, opened at the first call.
        gallery: Returns the Gallery, opened at the first call.
        app_gallery: Returns the Gallery with the application's collection in it.
    """

    def __init__(
        self,
        data_dir: Path,
        collection: str,
        policy: Policy,
        open_engine: Callable[[], FaceEngine],
        *,
        audit_days: int | None = None,
    ) -> None:
        """Open or create a data folder; one that is read-only can be read, and every write raises StorageReadOnly.

        Args:
            data_dir: The folder; created where it is missing.
            collection: The collection of the gallery that holds the application's faces.
            policy: The operator's choices.
            open_engine: Loads the engine.
            audit_days: Days after which entries of the audit log are removed; None keeps them.

        Raises StorageError.
        """
        self.data_dir, self._collection = data_dir, collection
        self._workers: list[Worker] = []
        if (data_dir / RESTORING).exists():
            raise SetupError(HALF_RESTORED)
        private_files.restrict(data_dir, CONTENT)
        reserve = DiskReserve(data_dir / "reserve")
        self.database = reserve.give_room(lambda: open_database(data_dir / "mien.db"))
        reserve.fill()
        secret = _secret(data_dir / "secret")
        self.signer = Signer(secret)
        self.is_read_only = self.database.is_read_only
        self.queue = EventQueue(self.database)
        self.engine = _Lazy(open_engine)
        self.audit = SqliteAudit(self.database, self.signer, self._model_version, audit_days)
        self.gallery = _Lazy(self._open_gallery)
        self.app_gallery = _Lazy(self._open_app_gallery)
        queue = self.queue
        self.bucket = FolderBucket(
            data_dir / "bucket",
            self.database,
            self.signer,
            lambda key, version: queue.put(key, version=version),
            queue.drop,
            queue.drop_folder,
            policy.max_image_bytes,
        )
        self.catalog = SqliteCatalog(self.database)
        self.recognizer = LocalRecognizer(
            self.engine, self.app_gallery, collection, installation_mark(self.bucket.marker)
        )
        self.app = FaceApp(
            self.bucket,
            self.recognizer,
            self.catalog,
            policy,
            find_remains=self._find_remains,
            inspect=self._inspect,
            render=_render,
            warnings=self._warnings,
            close=self.close,
            pseudonym=keyed_hash(secret),
            grouping=Grouping(self.bucket, self.recognizer, self.catalog),
            make_room=reserve.release,
            remove_copies=lambda: remove_copies(data_dir),
            empty_logs=lambda: () if empty_wal(self.database) else ("mien.db-wal",),
        )

    def worker(self, threads: int, look_seconds: float = LOOK_SECONDS) -> Worker:
        """Return a worker that indexes uploads; it is not started yet.

        Args:
            threads: How many uploads are indexed at once.
            look_seconds: Seconds between two looks at all files, for changes by hand that the system did not announce.
        """
        private_files.restrict_tree(self.data_dir / "bucket")  # photos that were copied by hand
        truncate_wal(self.database)  # what a process that died had deleted may still be in there
        folder = self.data_dir / "bucket"
        worker = Worker(self.app, self.bucket, self.catalog, self.queue, self.audit, folder, threads, look_seconds)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Close the files; the backend cannot be used afterwards."""
        if self.gallery.is_open:
            self.gallery().close()
        self.database.close()

    def _model_version(self) -> str | None:
        """Return the engine's version or, while it is not loaded, that with which the faces were enrolled."""
        return self.engine().model_version if self.engine.is_open else stored_model(self.database, self._collection)

    def _open_gallery(self) -> Gallery:
        from mien.gallery import Gallery

        return Gallery(self.data_dir, self.engine().model_version)

    def _open_app_gallery(self) -> Gallery:
        gallery = self.gallery()
        with suppress(CollectionExists, StorageReadOnly):
            gallery.collections.create(self._collection)
        return gallery

    def _warnings(self) -> list[HealthWarning]:
        problems = [problem for worker in self._workers for problem in (*worker.watcher.warnings, worker.problem)]
        problems.append(LOST_FACES if self.gallery.is_open and self.has_lost_faces() else None)
        problems.append(self.failed_photos())
        return list({problem.code: problem for problem in problems if problem}.values())

    def failed_photos(self) -> HealthWarning | None:
        """Count the photos that could not be indexed and are not tried again unasked; None without any."""
        if count := self.queue.dead():
            sentence = f"Photos that could not be indexed: {count}. `mien repair --retry-failed` tries them again."
            return HealthWarning("photos_failed", sentence, {"count": count})
        return None

    def has_lost_faces(self) -> bool:
        """Tell whether the collection has no face though people are enrolled: the wire API deleted it."""
        try:
            count = self.app_gallery().collections.describe(self._collection).face_count
        except CollectionNotFound:
            count = 0
        return count == 0 and bool(self.catalog.find(FaceRecord, limit=1).items)

    def _inspect(self) -> list[Issue]:
        from mien.backends.embedded import maintenance

        self.recognizer.list_faces()  # creates the collection where it was deleted
        return maintenance.find_issues(self.app_gallery(), self._collection, self.app.people_by_id)

    def _find_remains(self, user_id: str) -> tuple[str, ...]:
        from mien.backends.embedded import maintenance

        empty_wal(self.database)  # while it is in use, the search below finds what is in there
        stale = ["index"] if self.gallery().stale_vector_sets() else []
        remains = maintenance.find_remains(self.data_dir, user_id)
        is_in_database = self.database.path.name in remains and not self.is_read_only
        if is_in_database and not self.catalog.get(Person, [user_id]):
            with suppress(StorageError):  # busy or full, say: then it is told as it is
                rebuild(self.database)
                remains = maintenance.find_remains(self.data_dir, user_id)
        return (*remains, *stale)


def _render(image: bytes, long_side: int) -> bytes:
    from mien.engine import render

    return render(image, long_side)


class _Lazy(Generic[T]):
    """Opens something at the first call, once for all threads, and returns it from then on."""

    def __init__(self, open_it: Callable[[], T]) -> None:
        self._open, self._lock = open_it, threading.Lock()
        self._opened: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._opened:
                self._opened.append(self._open())
            return self._opened[0]

    @property
    def is_open(self) -> bool:
        return bool(self._opened)


def _secret(path: Path) -> bytes:
    """Read the folder's own secret; made at the first use. Raises SetupError when it is not whole."""
    with storage_errors(path.name):
        if not path.exists():
            secret_files.create(path, secrets.token_bytes(SECRET_BYTES))
        secret_files.check_permissions(path)
        secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise SetupError(
            f"{path} has {len(secret)} bytes of {SECRET_BYTES}, so anybody could forge what it signs. Restore it from "
            "a backup; or delete it, and Mien makes another one: cursors and upload forms in use end, and the audit "
            "log has other pseudonyms from then on."
        )
    return secret
