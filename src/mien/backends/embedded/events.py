"""Handle events of the bucket, as S3, SQS and Lambda do on AWS: a durable queue in SQLite, and the worker.

The queue delivers at least once and in any order, with retries. It holds at most one event per key. A claim leases
the event; when the lease runs out because its holder died, the event can be claimed again. An event that failed too
often becomes a dead letter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from mien.app.app import FaceApp
from mien.app.ports import Catalog
from mien.backends.embedded.audit import SqliteAudit
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.watcher import RETRY_SECONDS, FolderWatcher
from mien.domain import object_keys
from mien.domain.errors import ImageNotFound, InvalidInput
from mien.domain.faces import iterate_pages
from mien.domain.records import Expiry, Upload
from mien.gallery.store.database import Database
from mien.security.audit import WORKER, Action, Activity, expiry_activities

T = TypeVar("T")
log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 6
BACKOFF_SECONDS = 1.0
IDLE_SECONDS = 0.2
EXPIRY_SECONDS = 3600.0
ERASURES_SECONDS = 30.0
"""How often erasures that failed are looked at again."""


@dataclass(frozen=True, slots=True)
class Event:
    """A claimed event; its `generation` grows when the object is created anew."""

    key: str
    generation: int
    attempts: int

    @property
    def is_last_attempt(self) -> bool:
        """Whether another failure makes the event a dead letter."""
        return self.attempts >= MAX_ATTEMPTS


class EventQueue:
    """The object-created events, in the table Events of mien.db. Every method raises StorageError."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        """`now` returns seconds since 1970."""
        self._database, self._now = database, now

    def put(self, key: str, delay: float = 0.0) -> None:
        """Add an event about a created object, due after `delay` seconds; one for the same key is replaced."""
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT INTO Events (Key, DueAt) VALUES (?, ?) ON CONFLICT (Key) DO UPDATE SET"
                " DueAt = excluded.DueAt, Generation = Generation + 1, Attempts = 0, Dead = 0",
                (key, self._now() + delay),
            )

    def add(self, key: str) -> None:
        """Add an event, unless there is one for the same key, be it a dead letter."""
        with self._database.write() as transaction:
            transaction.execute("INSERT OR IGNORE INTO Events (Key, DueAt) VALUES (?, ?)", (key, self._now()))

    def claim(self) -> Event | None:
        """Lease the event that has been due longest to the caller; None when none is due."""
        with self._database.write() as transaction:
            row = transaction.execute(
                "UPDATE Events SET DueAt = ?, Attempts = Attempts + 1 WHERE Key ="
                " (SELECT Key FROM Events WHERE Dead = 0 AND DueAt <= ? ORDER BY DueAt LIMIT 1)"
                " RETURNING Key, Generation, Attempts",
                (self._now() + LEASE_SECONDS, self._now()),
            ).fetchone()
        return Event(*row) if row else None

    def settle(self, event: Event) -> None:
        """Remove an event that was handled, unless its object was created anew meanwhile."""
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM Events WHERE Key = ? AND Generation = ?", (event.key, event.generation))

    def fail(self, event: Event) -> None:
        """Make an event due again, after twice as long at each attempt; a dead letter after the last one."""
        later = self._now() + BACKOFF_SECONDS * 2**event.attempts
        with self._database.write() as transaction:
            transaction.execute(
                "UPDATE Events SET DueAt = ?, Dead = ? WHERE Key = ? AND Generation = ?",
                (later, event.is_last_attempt, event.key, event.generation),
            )

    def drop(self, keys: Sequence[str]) -> None:
        """Remove the events of objects that were deleted."""
        with self._database.write() as transaction:
            transaction.executemany("DELETE FROM Events WHERE Key = ?", [(key,) for key in keys])

    def drop_folder(self, prefix: str) -> None:
        """Remove the events of all objects whose keys start with a prefix."""
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM Events WHERE Key >= ? AND Key < ?", (prefix, after))

    def waiting(self) -> int:
        """Count the events that are due or will be."""
        return self._count(dead=False)

    def dead(self) -> int:
        """Count the dead letters."""
        return self._count(dead=True)

    def _count(self, *, dead: bool) -> int:
        count: int = self._database.read("SELECT count(*) FROM Events WHERE Dead = ?", (dead,))[0][0]
        return count


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Counts photos without an outcome, which were queued, and deleted photos, whose faces were removed."""

    photos_without_state: int
    photos_deleted_by_hand: int


class Worker:
    """Indexes what the queue holds, on threads of its own, and watches the bucket's folder for changes by hand.

    `start` also finishes what a process that died left unfinished. What is over by the policy is removed at the start
    and every hour.
    """

    def __init__(
        self,
        app: FaceApp,
        bucket: FolderBucket,
        catalog: Catalog,
        queue: EventQueue,
        audit: SqliteAudit,
        folder: Path,
        threads: int,
        look_seconds: float,
    ) -> None:
        self._audit = audit
        self._app, self._bucket, self._catalog, self._queue = app, bucket, catalog, queue
        self.watcher = FolderWatcher(bucket, catalog, queue, folder, look_seconds)
        self._stop = threading.Event()
        tasks: list[Callable[[], None]] = [
            self._keep_up,
            self._watch,
            self._look,
            self._expire,
            *[self._work] * threads,
        ]
        self._threads = [threading.Thread(target=task, daemon=True) for task in tasks]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads, once each has finished its event."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run_once(self) -> bool:
        """Handle one event in the caller's thread; False when none is due."""
        event = self._queue.claim()
        if event is None:
            return False
        try:
            self._index(event.key)
        except InvalidInput:
            self._queue.settle(event)
        except Exception as error:  # whatever it is, the other photos must not wait for this one
            log.warning("indexing failed", extra={"error": type(error).__name__, "attempt": event.attempts})
            self._fail(event)
        else:
            self._queue.settle(event)
        return True

    def reconcile(self) -> Reconciliation:
        """Remove the faces of photos that were deleted by hand, and queue every photo that has no outcome yet."""
        missing = self.missing_photos()
        for path in missing:  # before the others: a file that was renamed has the same face under a new path
            self._index(path)
        count = 0
        for key in self._bucket.keys(object_keys.UPLOADED):
            uploads = self._catalog.get(Upload, [key])
            if not uploads or not uploads[0].status.final:
                self._queue.put(key)
                count += 1
        return Reconciliation(count, len(missing))

    def missing_photos(self) -> list[str]:
        """List the paths of uploads whose photo does not exist. StorageError when the folder is not mounted."""
        self._bucket.check_volume()
        return [upload.image_path for upload in self._uploads() if not self._exists(upload.image_path)]

    def _fail(self, event: Event) -> None:
        """The upload's status is stored before the event is put aside, so that a crash in between repeats it."""
        if event.is_last_attempt:
            try:
                self._app.mark_failed(event.key)
            except ImageNotFound:
                self._queue.settle(event)
        self._queue.fail(event)

    def _index(self, key: str) -> None:
        """Index a photo, or remove the faces of one that no longer exists. Raises what `index_upload` raises else."""
        activity, before = Activity(WORKER, Action.ENROLL), self._catalog.get(Upload, [key])
        try:
            upload = self._app.index_upload(key)
        except ImageNotFound:
            activity.action = Action.DELETE
            activity.counts["photos"] = 1
        else:
            if before == [upload]:  # an event that came twice changes nothing
                return
            activity.note(upload)
        self._audit.record(activity)

    def _exists(self, key: str) -> bool:
        return key in self._bucket.keys(key)

    def _uploads(self, user_id: str | None = None) -> Iterator[Upload]:
        return iterate_pages(lambda token: self._catalog.find(Upload, user_id=user_id, limit=1000, token=token))

    def _keep_up(self) -> None:
        """Finish what was interrupted, and from time to time what could not be finished yet."""
        self._guard(self._bucket.remove_abandoned_drafts)
        self._guard(self._resume_erasures)
        self._guard(self.reconcile)
        while not self._stop.wait(ERASURES_SECONDS):
            self._guard(self._resume_erasures)

    def _look(self) -> None:
        """Look at all files again and again; how long to wait may change meanwhile."""
        while not self._stop.is_set():
            self._guard(self.watcher.look)
            looked_at = time.monotonic()
            while not self._stop.wait(IDLE_SECONDS) and time.monotonic() - looked_at < self.watcher.pause:
                pass

    def _resume_erasures(self) -> None:
        for report in self._app.resume_erasures():
            activity = Activity(WORKER, Action.ERASE)
            activity.note(report)
            self._audit.record(activity)

    def _work(self) -> None:
        while not self._stop.is_set():
            if not self._guard(self.run_once):
                self._stop.wait(IDLE_SECONDS)

    def _expire(self) -> None:
        while not self._stop.is_set():
            self._guard(self._expire_once)
            self._guard(self._audit.expire)
            self._stop.wait(EXPIRY_SECONDS)

    def _expire_once(self) -> None:
        expiry = self._app.expire(self._stop.is_set)
        if expiry != Expiry():
            counts = {"recognitions": expiry.recognitions, "photos": expiry.photos, "people": len(expiry.receipts)}
            log.info("expired", extra=counts | {"failed": expiry.failed})
            for activity in expiry_activities(expiry):
                self._audit.record(activity)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._guard(partial(self.watcher.watch, self._stop))
            self._stop.wait(RETRY_SECONDS)

    def _guard(self, task: Callable[[], T]) -> T | None:
        try:
            return task()
        except Exception as error:  # a full disk or a locked database is temporary; the thread must live on
            log.warning("background task failed", extra={"task": _name(task), "error": type(error).__name__})
            self._stop.wait(IDLE_SECONDS)
            return None


def _name(task: Callable[[], object]) -> str:
    """Name a task for the log, without what it works on."""
    function = task.func if isinstance(task, partial) else task
    return str(getattr(function, "__name__", type(function).__name__)).strip("_").replace("_", " ")
