"""Watch the bucket's folder for changes by hand: at once where the system announces them, else every few minutes.

Network drives announce nothing, and the system announces only as many folders as its limits allow. So all files are
looked at every few minutes, and every few seconds while nothing is announced.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from mien.app.ports import Catalog
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.event_queue import EventQueue
from mien.backends.embedded.folder_tree import Kind
from mien.domain import object_keys
from mien.domain.errors import ImageNotFound, InvalidInput, MienError
from mien.domain.faces import iterate_pages
from mien.domain.image_types import is_litter
from mien.domain.records import Erasure, Upload, UploadStatus

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0
"""Between two looks while the system announces nothing."""

RETRY_SECONDS = 60.0
"""Until the system is asked for announcements again."""

SETTLE_SECONDS = 0.5
"""How long an event about a file in the folder waits: a file that is being copied changes until it is complete."""

BATCH = 1000
_CLOCK_SLACK_SECONDS = 5.0  # disks keep times in seconds or two
_STORING_SECONDS = 60.0  # between the record of an upload and its file

LIMIT_REACHED = (
    "The system does not announce changes of the photo folder, so it is looked at every few seconds. The limit of "
    "watched folders may be reached: raise fs.inotify.max_user_watches and fs.inotify.max_user_instances (sysctl)."
)
LINKED_FOLDERS = (
    "A link to a folder lies among the photos. So that nothing is watched behind it, the photo folder is looked at "
    "every few seconds instead; `mien doctor` names the link."
)


class FolderWatcher:
    """Queues events about photos that were stored, replaced or deleted by hand."""

    def __init__(self, bucket: FolderBucket, catalog: Catalog, queue: EventQueue, folder: Path, seconds: float) -> None:
        """Watch a bucket's folder.

        Args:
            bucket: The bucket.
            catalog: What is known of its photos.
            queue: Where the events go.
            folder: The bucket's folder.
            seconds: Between two looks at all files, where changes are announced.
        """
        self._bucket, self._catalog, self._queue = bucket, catalog, queue
        self._folder = folder.resolve()  # announcements name resolved paths
        self._seconds = seconds
        self._looked_at: float | None = None
        self._ignored = 0
        self.problem: str | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next look at all files."""
        return min(POLL_SECONDS, self._seconds) if self.problem else self._seconds

    def watch(self, stop: threading.Event) -> None:
        """Queue what the system announces until `stop` is set; returns early when it announces nothing."""
        from watchfiles import Change, watch

        if any(e.kind is Kind.LINK and (self._folder / e.path).is_dir() for e in self._bucket.ignored()):
            self._report(LINKED_FOLDERS)
            return
        try:
            for changes in watch(
                self._folder / object_keys.UPLOADED, stop_event=stop, raise_interrupt=False, yield_on_timeout=True
            ):
                self.problem = None
                for change, path in sorted(changes, key=lambda each: each[0] is not Change.deleted):
                    handle = self._on_deleted if change is Change.deleted else self._on_created
                    with suppress(MienError):  # the next look finds it again
                        handle(Path(path))
        except OSError:
            self._report(LIMIT_REACHED)

    def find_problem(self) -> str | None:
        """Ask the system for announcements for a moment, and return a sentence about what is in their way."""
        stop = threading.Event()
        stop.set()
        self.watch(stop)
        return self.problem

    def look(self) -> None:
        """Look at all files: queue those that are new, changed or gone. StorageError when they are not mounted."""
        self._bucket.check_volume()
        self._bucket.remove_abandoned_drafts()
        looked_at = self._bucket.clock()
        for upload in self._uploads():  # before the others: a file that was renamed has the same face elsewhere
            with suppress(MienError):
                if not self._exists(upload.image_path) and not self._is_being_forgotten(upload):
                    self._queue.add(upload.image_path)
        keys = self._bucket.keys(object_keys.UPLOADED)
        while batch := list(islice(keys, BATCH)):
            uploads = {upload.image_path: upload for upload in self._catalog.get(Upload, batch)}
            for key in batch:
                with suppress(MienError):
                    self._look_at(key, uploads.get(key))
        self._looked_at = looked_at
        self._count_ignored()

    def _look_at(self, key: str, upload: Upload | None) -> None:
        if upload is not None and upload.status is UploadStatus.FAILED:
            self._queue.announce(key, self._bucket.version(key))
            return
        if upload is None or not upload.status.final:
            self._queue.add(key, self._bucket.version(key))
            return
        since = upload.timestamp.timestamp() + _STORING_SECONDS if self._looked_at is None else self._looked_at
        touched_at = self._bucket.touched_at(key)
        if touched_at is not None and touched_at >= since - _CLOCK_SLACK_SECONDS and not self._is_known(key):
            self._queue.announce(key, self._bucket.version(key), SETTLE_SECONDS)

    def _count_ignored(self) -> None:
        ignored = sum(1 for _ in self._bucket.ignored())
        if ignored and ignored != self._ignored:
            log.warning("links and other entries among the photos are ignored", extra={"entries": ignored})
        self._ignored = ignored

    def _report(self, problem: str) -> None:
        if self.problem != problem:
            log.warning(problem)
        self.problem = problem

    def _on_created(self, path: Path) -> None:
        """Queue a file, or the files of a folder, which may have been filled before it was watched."""
        key = path.relative_to(self._folder).as_posix()
        if any(map(is_litter, key.split("/"))):
            return
        for created in list(self._bucket.keys(f"{key}/" if path.is_dir() else key)):
            if not self._is_known(created):
                self._queue.announce(created, self._bucket.version(created), SETTLE_SECONDS)

    def _on_deleted(self, path: Path) -> None:
        """Queue a deleted photo, or those of a person's folder: indexing finds none and removes their faces."""
        self._bucket.check_volume()
        key = path.relative_to(self._folder).as_posix()
        uploads: Iterable[Upload] = self._catalog.get(Upload, [key])
        if not uploads and key.count("/") == 1:
            with suppress(InvalidInput):
                uploads = self._uploads(object_keys.user_id_of(f"{key}/{path.name}"))
        for upload in uploads:
            if not self._is_being_forgotten(upload) and not self._exists(upload.image_path):
                self._queue.put(upload.image_path)

    def _is_being_forgotten(self, upload: Upload) -> bool:
        return upload.user_id is not None and bool(self._catalog.get(Erasure, [upload.user_id]))

    def _is_known(self, key: str) -> bool:
        """Whether the application stored this file itself, or these very bytes have an outcome already."""
        upload = next(iter(self._catalog.get(Upload, [key])), None)
        if upload is not None and upload.status is UploadStatus.FAILED:  # the queue knows which version failed
            return False
        if upload is None or upload.digest is None:
            return upload is not None
        with suppress(ImageNotFound):
            return upload.digest == hashlib.sha256(self._bucket.get(key).body).hexdigest()
        return False

    def _exists(self, key: str) -> bool:
        return key in self._bucket.keys(key)

    def _uploads(self, user_id: str | None = None) -> Iterator[Upload]:
        return iterate_pages(lambda token: self._catalog.find(Upload, user_id=user_id, limit=BATCH, token=token))
