"""Watch the bucket's folder for changes by hand: at once where the system announces them, else every few minutes.

Network drives announce nothing, and the system announces only as many folders as its limits allow. So all files are
looked at every few minutes, and every few seconds while nothing is announced.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from mien.app.ports import Catalog
from mien.app.upload_notices import LOOKS_LIKE_ANOTHER_NAME
from mien.backends.embedded.bucket import FolderBucket
from mien.backends.embedded.event_queue import EventQueue
from mien.backends.embedded.folder_tree import Entry, Kind, is_key
from mien.domain import object_keys
from mien.domain.errors import ImageNotFound, ImageTooLarge, MienError
from mien.domain.faces import iterate_pages
from mien.domain.image_types import is_ignored
from mien.domain.records import Erasure, Upload, UploadStatus
from mien.domain.results import HealthWarning

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

LIMIT_REACHED = HealthWarning(
    "watch_limit_reached",
    "The system does not announce changes of the photo folder, so it is looked at every few seconds. The limit of "
    "watched folders may be reached: raise fs.inotify.max_user_watches and fs.inotify.max_user_instances (sysctl).",
)
NOT_ANNOUNCED = HealthWarning(
    "changes_not_announced",
    "The system does not announce changes of the photo folder, so it is looked at every few seconds. It may be "
    "missing, unreadable, or on a disk that announces nothing.",
)
LINKED_FOLDERS = HealthWarning(
    "linked_folders",
    "A link to a folder lies among the photos. So that nothing is watched behind it, the photo folder is looked at "
    "every few seconds instead; `mien doctor` names the link.",
)
UNREADABLE_NAME = HealthWarning(
    "unreadable_name",
    "A name among the photos is not Unicode. Changes beside it cannot be announced, so the photo folder is looked at "
    "every few seconds instead; `mien doctor` names it.",
)
_ANY_PHOTO = "photo.jpg"
_LIMITS = ("watch limit reached", f"os error {errno.EMFILE})", f"os error {errno.ENOSPC})")


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
        self._ignored = self._not_taken = 0
        self.problem: HealthWarning | None = None

    @property
    def warnings(self) -> list[HealthWarning]:
        """Say what is in the way of watching, and how many folders were not taken when all files were looked at."""
        problems = [self.problem] if self.problem else []
        return [*problems, not_taken(self._not_taken)] if self._not_taken else problems

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
                deleted = [Path(path) for change, path in changes if change is Change.deleted]
                if deleted:
                    with suppress(MienError):  # the next look finds them again
                        self._on_deleted(deleted)
                for created in (Path(path) for change, path in changes if change is not Change.deleted):
                    with suppress(MienError):
                        self._on_created(created)
        except OSError as error:
            self._report(LIMIT_REACHED if _is_limit(error) else NOT_ANNOUNCED)
        except RuntimeError:  # what watchfiles raises where it cannot decode a path
            self._report(UNREADABLE_NAME)

    def find_problem(self) -> HealthWarning | None:
        """Ask the system for announcements for a moment, and say what is in their way."""
        stop = threading.Event()
        stop.set()
        self.watch(stop)
        return self.problem

    def look(self) -> None:
        """Look at all files: queue those that are new, changed or gone. StorageError when they are not mounted."""
        self._bucket.check_volume()
        self._bucket.remove_abandoned_drafts()
        looked_at = self._bucket.clock()
        lookalikes = []
        for upload in self._uploads():  # before the others: a file that was renamed has the same face elsewhere
            with suppress(MienError):
                if not self._exists(upload.image_path) and not self._is_being_forgotten(upload):
                    self._queue.add(upload.image_path)
                elif _looks_like_another(upload):
                    lookalikes.append(upload)
        keys = self._bucket.keys(object_keys.UPLOADED)
        while batch := list(islice(keys, BATCH)):
            uploads = {upload.image_path: upload for upload in self._catalog.get(Upload, batch)}
            for key in batch:
                with suppress(MienError):
                    self._look_at(key, uploads.get(key))
        self._looked_at = looked_at
        self._count_ignored(lookalikes)

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

    def _count_ignored(self, lookalikes: Sequence[Upload]) -> None:
        entries = list(self._bucket.ignored())
        folders = len(folders_not_taken(entries, lookalikes))
        if entries and len(entries) != self._ignored:
            log.warning("links and other entries among the photos are ignored", extra={"entries": len(entries)})
        if folders and folders != self._not_taken:
            log.warning("folders among the photos cannot be a person's", extra={"folders": folders})
        self._ignored, self._not_taken = len(entries), folders

    def _report(self, problem: HealthWarning) -> None:
        if self.problem != problem:
            log.warning(problem.message)
        self.problem = problem

    def _on_created(self, path: Path) -> None:
        """Queue a file, or the files of a folder, which may have been filled before it was watched."""
        key = path.relative_to(self._folder).as_posix()
        if any(map(is_ignored, key.split("/"))):
            return
        for created in list(self._bucket.keys(f"{key}/" if path.is_dir() else key)):
            if not self._is_known(created):
                self._queue.announce(created, self._bucket.version(created), SETTLE_SECONDS)

    def _on_deleted(self, paths: Sequence[Path]) -> None:
        """Queue deleted photos, and those of deleted folders: indexing finds none and removes their faces."""
        self._bucket.check_volume()
        keys = {path.relative_to(self._folder).as_posix() for path in paths}
        photos = self._catalog.get(Upload, sorted(keys))
        folders = {key for key in keys if not is_ignored(key.rpartition("/")[2])} - {each.image_path for each in photos}
        for upload in chain(photos, self._uploads_in(folders)):
            if not self._is_being_forgotten(upload) and not self._exists(upload.image_path):
                self._queue.put(upload.image_path)

    def _is_being_forgotten(self, upload: Upload) -> bool:
        return upload.user_id is not None and bool(self._catalog.get(Erasure, [upload.user_id]))

    def _is_known(self, key: str) -> bool:
        """Whether the application stored this file itself, or these very bytes have an outcome already."""
        upload = next(iter(self._catalog.get(Upload, [key])), None)
        if upload is None or upload.status is UploadStatus.FAILED:  # the queue knows which version failed
            return False
        if upload.digest is None and upload.status is not UploadStatus.REJECTED:
            return True
        try:
            return upload.digest == hashlib.sha256(self._bucket.get(key).body).hexdigest()
        except ImageTooLarge:
            return upload.digest is None  # it was not read before, either
        except ImageNotFound:
            return False

    def _exists(self, key: str) -> bool:
        return key in self._bucket.keys(key)

    def _uploads_in(self, folders: Collection[str]) -> Iterator[Upload]:
        """List the uploads of all photos below some folders, whoever they are of."""
        uploads = self._uploads() if folders else iter(())
        return (each for each in uploads if any(str(up) in folders for up in PurePosixPath(each.image_path).parents))

    def _uploads(self) -> Iterator[Upload]:
        return iterate_pages(lambda token: self._catalog.find(Upload, limit=BATCH, token=token))


def _is_limit(error: OSError) -> bool:
    """Whether a limit of inotify was reached, which watchfiles tells in words only."""
    return error.errno in {errno.EMFILE, errno.ENOSPC} or any(words in str(error) for words in _LIMITS)


def not_taken(count: int) -> HealthWarning:
    """Count the folders that cannot be a person's."""
    return HealthWarning(
        "folders_not_taken",
        "Folders among the photos that cannot be a person's, because the name cannot be one or looks like another "
        f"person's: {count}. `mien doctor` names them.",
        {"count": count},
    )


def folders_not_taken(entries: Iterable[Entry], uploads: Iterable[Upload]) -> list[str]:
    """Name the folders whose photos no person can have: the name cannot be an id, or looks like another person's.

    Args:
        entries: What lies among the photos and is none, as the bucket's `ignored` lists it.
        uploads: All uploads.
    """
    folders = {_persons_folder(entry.path) for entry in entries if _tells_of_folder(entry)}
    odd = {folder for folder in folders if not is_key(f"{folder}/{_ANY_PHOTO}")}
    return sorted(odd | {_persons_folder(each.image_path) for each in uploads if _looks_like_another(each)})


def _tells_of_folder(entry: Entry) -> bool:
    """Whether the entry is, or lies in, a folder whose name may be why it is no photo."""
    return entry.kind is Kind.FOLDER_NAME or (entry.kind is Kind.NAME and entry.path.count("/") > 1)


def _persons_folder(path: str) -> str:
    return "/".join(path.split("/")[:2])


def _looks_like_another(upload: Upload) -> bool:
    return any(reason.code == LOOKS_LIKE_ANOTHER_NAME for reason in upload.reasons)
