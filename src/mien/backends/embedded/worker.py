"""What Lambda and S3 events are on AWS: threads that index what the queue holds, and eyes on the bucket's folder."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from watchfiles import Change, watch

from mien.app.app import FaceApp
from mien.app.ports import Catalog
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.events import Event, EventQueue
from mien.domain import object_keys
from mien.domain.errors import ImageNotFound, InvalidInput
from mien.domain.faces import iterate_pages
from mien.domain.records import Erasure, Upload

T = TypeVar("T")
log = logging.getLogger(__name__)

IDLE_SECONDS = 0.2
SETTLE_SECONDS = 0.5  # a file that is being copied changes until it is whole


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many photos had no outcome and were announced, and how many were gone and were taken back."""

    photos_without_state: int
    photos_deleted_by_hand: int


class Worker:
    """Runs until stopped; `start` also finishes what a dead process left behind."""

    def __init__(
        self, app: FaceApp, bucket: FolderBucket, catalog: Catalog, queue: EventQueue, folder: Path, threads: int
    ) -> None:
        self._app, self._bucket, self._catalog, self._queue = app, bucket, catalog, queue
        self._folder = folder.resolve()  # as the watcher names paths
        self._stop = threading.Event()
        tasks: list[Callable[[], None]] = [self._recover, self._watch, *[self._work] * threads]
        self._threads = [threading.Thread(target=task, daemon=True) for task in tasks]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run_once(self) -> bool:
        """Deal with one event; False when none is due."""
        event = self._queue.claim()
        if event is None:
            return False
        try:
            self._app.index_upload(event.key)
        except (ImageNotFound, InvalidInput):
            self._queue.settle(event)
        except Exception as error:  # whatever it is, the other photos must not wait for this one
            log.warning("indexing failed", extra={"error": type(error).__name__, "attempt": event.attempts})
            self._fail(event)
        else:
            self._queue.settle(event)
        return True

    def _fail(self, event: Event) -> None:
        """The state is stored before the event is put aside, so that a crash in between repeats it."""
        if event.last:
            try:
                self._app.mark_failed(event.key)
            except ImageNotFound:
                self._queue.settle(event)
        self._queue.fail(event)

    def reconcile(self) -> Reconciliation:
        """Take back what came of photos that were deleted by hand; announce every photo that has no outcome yet."""
        gone = self.deleted_by_hand()
        for path in gone:  # before the others: a file that was renamed is the same face under a new path
            with suppress(ImageNotFound):
                self._app.index_upload(path)
        count = 0
        for key in self._bucket.keys(object_keys.UPLOADED):
            state = self._catalog.get(Upload, [key])
            if not state or not state[0].status.final:
                self._queue.put(key)
                count += 1
        return Reconciliation(count, len(gone))

    def deleted_by_hand(self) -> list[str]:
        """Paths of uploads whose photo is not there. StorageError when their folder is not there either."""
        self._bucket.check()
        uploads = (upload.image_path for upload in self._uploads())
        return [path for path in uploads if not self._lies_in_bucket(path)]

    def _lies_in_bucket(self, key: str) -> bool:
        return key in self._bucket.keys(key)

    def _uploads(self, user_id: str | None = None) -> Iterator[Upload]:
        return iterate_pages(lambda cursor: self._catalog.find(Upload, user_id=user_id, limit=1000, cursor=cursor))

    def _recover(self) -> None:
        self._guard(self._app.resume_erasures)
        self._guard(self.reconcile)

    def _work(self) -> None:
        while not self._stop.is_set():
            if not self._guard(self.run_once):
                self._stop.wait(IDLE_SECONDS)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._guard(self._look_on)

    def _look_on(self) -> None:
        uploaded = self._folder / object_keys.UPLOADED
        for changes in watch(uploaded, stop_event=self._stop, raise_interrupt=False):
            for change, path in sorted(changes, key=lambda each: each[0] is not Change.deleted):
                announce = self._announce_gone if change is Change.deleted else self._announce
                self._guard(partial(announce, Path(path)))

    def _announce(self, path: Path) -> None:
        key = path.relative_to(self._folder).as_posix()
        # A new folder may have been filled before it was watched.
        for found in list(self._bucket.keys(f"{key}/" if path.is_dir() else key)):
            if not self._is_known(found):
                self._queue.put(found, SETTLE_SECONDS)

    def _announce_gone(self, path: Path) -> None:
        """A photo, or a person's folder that was moved away as one. Indexing it finds nothing and takes it back."""
        self._bucket.check()
        key = path.relative_to(self._folder).as_posix()
        uploads: Iterable[Upload] = self._catalog.get(Upload, [key])
        if not uploads and key.count("/") == 1:
            with suppress(InvalidInput):
                uploads = self._uploads(object_keys.user_id_of(f"{key}/{path.name}"))
        for upload in uploads:
            forgetting = upload.user_id is not None and self._catalog.get(Erasure, [upload.user_id])
            if not forgetting and not self._lies_in_bucket(upload.image_path):
                self._queue.put(upload.image_path)

    def _is_known(self, key: str) -> bool:
        """The application announced it, or there is an outcome for these very bytes."""
        state = next(iter(self._catalog.get(Upload, [key])), None)
        if state is None or state.digest is None:
            return state is not None
        return state.digest == hashlib.sha256(self._bucket.get(key).body).hexdigest()

    def _guard(self, task: Callable[[], T]) -> T | None:
        try:
            return task()
        except Exception as error:  # a full disk or a locked database passes; the thread must live on
            log.warning("background task failed", extra={"error": type(error).__name__})
            self._stop.wait(IDLE_SECONDS)
            return None
