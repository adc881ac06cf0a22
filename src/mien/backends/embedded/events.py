"""Handle events of the bucket, as Lambda does on AWS: the worker, which indexes what the queue holds.

A photo that cannot be indexed is `failed`, and its event a dead letter: after six attempts, or at the third claim when
the first two ended with their process. It is tried again when somebody asks for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from mien.app.app import FaceApp
from mien.app.ports import Catalog
from mien.backends.embedded.audit import SqliteAudit
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.event_queue import RENEW_SECONDS, ClaimLost, Event, EventQueue, Presence
from mien.backends.embedded.watcher import RETRY_SECONDS, FolderWatcher
from mien.domain import object_keys
from mien.domain.errors import ImageNotFound, InvalidInput, Overloaded, StorageError
from mien.domain.faces import iterate_pages
from mien.domain.records import Upload, UploadStatus
from mien.domain.results import Expiry, HealthWarning
from mien.domain.waiting import REQUEST_SECONDS, waiting_seconds
from mien.security.audit import WORKER, Action, Activity, expiry_activities

T = TypeVar("T")
log = logging.getLogger(__name__)

WORK_SECONDS = 300.0
"""How long a photo may be under way: a thread that does not come back by then hangs, and its lease is not renewed."""

STOP_SECONDS = 3.0
"""How long the threads may go on after `stop`."""

PRESENCE_FILE = "worker.lock"
IDLE_SECONDS = 0.2
EXPIRY_SECONDS = 3600.0
ERASURES_SECONDS = 30.0
"""How often erasures that failed are looked at again."""


@dataclass(frozen=True, slots=True)
class FolderChanges:
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
        self._presence = Presence(folder.parent / PRESENCE_FILE)
        self._stop, self._stop_at = threading.Event(), 0.0
        self._held: dict[Event, float] = {}
        tasks: list[Callable[[], None]] = [
            self._keep_up,
            self._watch,
            self._look,
            self._expire,
            self._renew,
            partial(self._work, REQUEST_SECONDS),
            *[partial(self._work, 0.0)] * (threads - 1),
        ]
        self._threads = [threading.Thread(target=task, daemon=True) for task in tasks]

    @property
    def problem(self) -> HealthWarning | None:
        """Count the photos that take too long, such as on a network disk that does not answer; None without any."""
        if count := sum(time.monotonic() - since > WORK_SECONDS for since in list(self._held.values())):
            minutes = round(WORK_SECONDS / 60)
            sentence = f"Photos that have been under way for more than {minutes} minutes: {count}."
            return HealthWarning("photos_under_way", sentence, {"count": count, "minutes": minutes})
        return None

    def start(self) -> None:
        """Start the threads. What processes that died had claimed is claimed anew at once."""
        self._guard(partial(self._presence.begin, self._queue.expire_leases))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads; what is not finished soon after the first call is handed back, for the next start."""
        self._stop.set()
        self._stop_at = self._stop_at or time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():  # a signal may come before it is started
                thread.join(max(0.0, self._stop_at - time.monotonic()))
        for event in list(self._held):
            self._guard(partial(self._queue.release, event))
        self._presence.end()

    def run_once(self) -> bool:
        """Handle one event in the caller's thread; False when none is due."""
        event = self._queue.claim()
        if event is None:
            return False
        self._held[event] = time.monotonic()
        try:
            self._handle(event)
        except ClaimLost:
            log.warning("another worker took over", extra={"attempt": event.attempts})
        except Exception:
            self._guard(partial(self._queue.put_off, event))  # or it would look as if the photo had ended the process
            raise
        finally:
            del self._held[event]
        return True

    def reconcile(self) -> FolderChanges:
        """Remove the faces of photos that were deleted by hand, and queue every photo that has no outcome yet.

        Those that failed are dead letters, and stay so. The counts include them.
        """
        missing = self.missing_photos()
        for path in missing:  # before the others: a file that was renamed has the same face under a new path
            self._index_or_queue(path)
        count = 0
        for key in self._bucket.keys(object_keys.UPLOADED):
            if self._stop.is_set():
                break
            uploads = self._catalog.get(Upload, [key])
            if not uploads or not uploads[0].status.final:
                self._queue.add(key, self._bucket.version(key))
                count += 1
        return FolderChanges(count, len(missing))

    def missing_photos(self) -> list[str]:
        """List the paths of uploads whose photo does not exist. StorageError when the folder is not mounted."""
        self._bucket.check_volume()
        return [upload.image_path for upload in self._uploads() if self._is_missing(upload.image_path)]

    def _handle(self, event: Event) -> None:
        if event.is_given_up:
            log.warning("indexing ended its process", extra={"attempt": event.attempts})
            self._fail(event)
            return
        try:
            with self._queue.guard(event):
                self._index(event.key)
        except ClaimLost:
            raise
        except InvalidInput:
            self._queue.settle(event)
        except Overloaded:
            self._queue.postpone(event)
        except Exception as error:  # whatever it is, the other photos must not wait for this one
            log.warning("indexing failed", extra={"error": type(error).__name__, "attempt": event.attempts})
            self._fail(event)
        else:
            self._queue.settle(event)

    def _fail(self, event: Event) -> None:
        """The upload's status is stored before the event is put aside, so that a crash in between repeats it."""
        if (event.is_last_attempt or event.is_given_up) and not self._mark_failed(event):
            self._queue.settle(event)
        else:
            self._queue.fail(event)

    def _mark_failed(self, event: Event) -> bool:
        """Mark the event's upload; False when it has its outcome after all, or no photo."""
        with self._queue.guard(event), suppress(ImageNotFound):
            upload = self._app.mark_failed(event.key, interrupted=event.is_given_up)
            return upload.status is UploadStatus.FAILED
        return False

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

    def _index_or_queue(self, key: str) -> None:
        """Index a photo, or leave it to the queue when that fails: the others must not wait for it."""
        try:
            self._index(key)
        except Exception as error:
            log.warning("indexing failed", extra={"error": type(error).__name__})
            self._queue.add(key)

    def _is_missing(self, key: str) -> bool:
        """Whether a photo does not exist; one whose folder cannot be read may exist."""
        with suppress(StorageError):
            return key not in self._bucket.keys(key)
        return False

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

    def _renew(self) -> None:
        """Renew the leases of photos on which a living thread works, as long as it may still come back."""
        while not self._stop.wait(RENEW_SECONDS):
            for event, since in list(self._held.items()):
                if time.monotonic() - since < WORK_SECONDS:
                    self._guard(partial(self._queue.renew, event))

    def _work(self, patience: float) -> None:
        """Handle events. Only one thread waits for its turn with a heavy photo; the others go on to ordinary ones."""
        waiting_seconds.set(patience)
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
