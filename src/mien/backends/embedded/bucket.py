"""Keep the photos in a folder: each a plain file, written completely or not at all, with its metadata in SQLite.

Only plain files are objects: links, pipes, devices and folders named like photos are never followed, opened or listed,
but they are removed with the folder of their person. A file that is copied into the folder by hand is an object like
any other; its content type is found in its bytes. A file that is deleted by hand is a deleted object, but only while
the folder's marker file is present: a missing or different marker means that the disk is not mounted, and then nothing
counts as deleted.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mien.backends.embedded import drafts, folder_tree
from mien.backends.embedded.database import truncate_wal
from mien.backends.embedded.drafts import sync_folder
from mien.backends.embedded.folder_tree import Entry, Kind
from mien.domain import image_types, object_keys
from mien.domain.errors import ImageError, ImageNotFound, StorageError
from mien.domain.results import Image, UploadForm
from mien.gallery.store import private_files
from mien.gallery.store.database import UNREADABLE, Database, damaged_record, storage_errors
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_PATH, Signer

VOLUME_MARKER = ".mark"

USUAL_BYTES = 32 * 1024 * 1024
"""Files of this size are read whatever the limit of today: they may be photos of a time when it was higher."""


class FolderBucket:
    """Implements `mien.app.group_ports.StagingBucket` in a folder.

    Attributes:
        marker: What the folder's marker file holds: a text of its own for each data folder.
        max_bytes: The size of a file up to which it is read.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        signer: Signer,
        on_created: Callable[[str, str | None], None],
        on_deleted: Callable[[Sequence[str]], None],
        on_folder_deleted: Callable[[str], None],
        max_bytes: int = USUAL_BYTES,
    ) -> None:
        """Open or create the folder.

        Args:
            folder: Where the files lie; created where it is missing.
            database: Holds the tables BucketObjects and BucketMark.
            signer: Signs upload forms.
            on_created: Called with each key and its version after its object was stored.
            on_deleted: Called with the keys after their objects were deleted.
            on_folder_deleted: Called with the prefix after everything below it was deleted.
            max_bytes: Of a photo; `get` reads so large files, and any of the usual sizes.
        """
        self.max_bytes = max(max_bytes, USUAL_BYTES)
        self._folder, self._database, self._signer = folder, database, signer
        self._on_created, self._on_deleted, self._on_folder_deleted = on_created, on_deleted, on_folder_deleted
        if not database.is_read_only:
            with storage_errors("bucket"):
                private_files.make_folder(folder / object_keys.UPLOADED)
                private_files.make_folder(folder / drafts.INCOMING)
        self.marker = self._read_or_create_marker()

    def check_volume(self) -> None:
        """Raise StorageError when this is not the folder that the photos were stored in."""
        path = self._folder / VOLUME_MARKER
        with storage_errors("bucket"), suppress(FileNotFoundError):
            if _marker_in(path) == self.marker:
                return
        raise StorageError(
            "The folder of the photos does not match this database (is the disk mounted?). If it is the right one, "
            f"write {self.marker} to bucket/{VOLUME_MARKER} in the data folder."
        )

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        object_keys.parse_image_path(key)
        self.check_volume()
        self._describe({key: Image(body, content_type, dict(metadata))})
        with storage_errors("bucket"):
            drafts.write(self._folder, key, body)
        self._on_created(key, self.version(key))

    @contextmanager
    def staged(self, images: Mapping[str, Image]) -> Iterator[Callable[[], None]]:
        bodies = {object_keys.parse_image_path(key): image.body for key, image in images.items()}
        self._database.check_writable()
        self.check_volume()

        def move() -> None:
            self._describe(images)
            with storage_errors("bucket"):
                move_drafts()

        with ExitStack() as stack:
            with storage_errors("bucket"):
                move_drafts = stack.enter_context(drafts.written(self._folder, bodies))
            yield move

    def _describe(self, images: Mapping[str, Image]) -> None:
        rows = [(key, image.content_type, json.dumps(image.metadata)) for key, image in images.items()]
        with self._database.write() as transaction:
            transaction.executemany("INSERT OR REPLACE INTO BucketObjects VALUES (?, ?, ?)", rows)

    def get(self, key: str) -> Image:
        with storage_errors("bucket"):
            body = folder_tree.read(self._folder, object_keys.parse_image_path(key), self.max_bytes)
        if body is None:
            self.check_volume()
            raise ImageNotFound("There is no photo under this path.")
        rows = self._database.read("SELECT ContentType, Metadata FROM BucketObjects WHERE Key = ?", (key,))
        if rows:
            return Image(body, rows[0][0], _metadata(rows[0][1]))
        return Image(body, _content_type(body))

    def keys(self, prefix: str) -> Iterator[str]:
        with storage_errors("bucket"):
            is_empty = not (folder_tree.is_key(prefix) and folder_tree.is_photo(self._folder, prefix))
            if not is_empty:
                yield prefix
            for entry in folder_tree.walk(self._folder, prefix.rpartition("/")[0]):
                if entry.kind is Kind.PHOTO and entry.path.startswith(prefix) and entry.path != prefix:
                    is_empty = False
                    yield entry.path
        if is_empty:
            self.check_volume()  # or else everything would seem to be deleted

    def ignored(self) -> Iterator[Entry]:
        """List what lies among the photos and is none, such as a link: it is left alone until its person is erased."""
        with storage_errors("bucket"):
            entries = folder_tree.walk(self._folder, object_keys.UPLOADED)
            yield from (entry for entry in entries if entry.kind is not Kind.PHOTO)

    def delete(self, keys: Sequence[str]) -> int:
        self._database.check_writable()  # or photos would go whose faces have to stay
        self.check_volume()
        with storage_errors("bucket"):
            count = sum(self._unlink(object_keys.parse_image_path(key)) for key in keys)
        self._delete_rows("DELETE FROM BucketObjects WHERE Key = ?", [(key,) for key in keys])
        self._on_deleted(keys)
        return count

    def delete_remains(self, key: str) -> None:
        self._delete_rows("DELETE FROM BucketObjects WHERE Key = ?", [(key,)])
        self._on_deleted([key])
        with storage_errors("bucket"):
            if folder_tree.is_photo(self._folder, key):  # stored meanwhile: its event must not be lost
                self._on_created(key, self.version(key))

    def delete_folder(self, prefix: str) -> int:
        self._database.check_writable()
        with storage_errors("bucket"):
            drafts.remove_abandoned(self._folder, prefix)
            count = folder_tree.clear(self._folder, prefix)
            sync_folder(self._folder / object_keys.UPLOADED)
        self._delete_rows("DELETE FROM BucketObjects WHERE Key >= ? AND Key < ?", [(prefix, _after(prefix))])
        self._on_folder_deleted(prefix)
        return count

    def holds(self, prefix: str) -> bool:
        with storage_errors("bucket"):
            if folder_tree.is_filled(self._folder, prefix) or drafts.holds(self._folder, prefix):
                return True
        rows = self._database.read(
            "SELECT 1 FROM BucketObjects WHERE Key >= ? AND Key < ? LIMIT 1", (prefix, _after(prefix))
        )
        return bool(rows)

    def stored_at(self, key: str) -> datetime | None:
        with storage_errors("bucket"):
            changed_at = folder_tree.changed_at(self._folder, object_keys.parse_image_path(key))
        return None if changed_at is None else datetime.fromtimestamp(changed_at, UTC)

    def touched_at(self, key: str) -> float | None:
        """Return when a photo's file was last touched, in seconds since 1970 by the folder's clock; None without one.

        Other than `stored_at`, it tells of a file that was moved there with its old times.
        """
        with suppress(OSError):
            return (self._folder / key).lstat().st_ctime
        return None

    def version(self, key: str) -> str | None:
        """Return a text that changes when a photo's file is written anew; None without a file."""
        with suppress(OSError):
            status = (self._folder / key).lstat()
            return f"{status.st_size}-{status.st_mtime_ns}"
        return None

    def clock(self) -> float:
        """Return what the folder's clock says, in seconds since 1970: a network drive has its own."""
        probe = self._folder / drafts.INCOMING / uuid.uuid4().hex
        try:
            with os.fdopen(private_files.create_file(probe), "wb"):
                return probe.lstat().st_ctime
        except OSError:  # read-only
            return time.time()
        finally:
            with suppress(OSError):
                probe.unlink()

    def remove_abandoned_drafts(self) -> int:
        """Remove photos that a process which died left half-stored, and return how many there were."""
        with storage_errors("bucket"):
            return drafts.remove_abandoned(self._folder)

    def link(self, key: str, content_type: str, expires_in: int) -> str | None:
        return None

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        claims = {"key": key, "type": content_type, "bytes": max_bytes, "at": datetime.now(UTC).timestamp()}
        fields = {"key": key, "Content-Type": content_type}
        fields["policy"] = self._signer.sign(UPLOAD_FORM, claims, expires_in)
        return UploadForm(UPLOAD_FORM_PATH, fields, key, datetime.now(UTC) + timedelta(seconds=expires_in))

    def _read_or_create_marker(self) -> str:
        """The marker of the database, or, when it has none yet, that of the folder or a new one."""
        path = self._folder / VOLUME_MARKER
        if self._database.is_read_only and (rows := self._database.read("SELECT Mark FROM BucketMark")):
            return str(rows[0][0])
        with self._database.write() as transaction:
            rows = transaction.read("SELECT Mark FROM BucketMark")
            if rows:
                return str(rows[0][0])
            if not path.exists():
                with open(path, "w", encoding="ascii", opener=private_files.opener) as file:
                    file.write(f"{uuid.uuid4().hex}\n")
            marker = _marker_in(path)
            transaction.execute("INSERT INTO BucketMark VALUES (?)", (marker,))
        return marker

    def _unlink(self, key: str) -> bool:
        was_photo = folder_tree.unlink(self._folder, key)
        parent = (self._folder / key).parent
        if folder_tree.is_folder(self._folder, key.rpartition("/")[0]):
            sync_folder(parent)
            if parent != self._folder / object_keys.UPLOADED:
                with suppress(OSError):  # not empty
                    parent.rmdir()
        return was_photo

    def _delete_rows(self, statement: str, values: Sequence[tuple[str, ...]]) -> None:
        with self._database.write() as transaction:
            transaction.executemany(statement, values)
        truncate_wal(self._database)


def _marker_in(path: Path) -> str:
    """Read a marker; one that is damaged is another one."""
    return path.read_text(encoding="ascii", errors="replace").strip()


def _metadata(text: str) -> dict[str, str]:
    try:
        return dict(json.loads(text))
    except UNREADABLE as error:
        raise damaged_record("BucketObjects") from error


def _content_type(body: bytes) -> str:
    try:
        return image_types.sniff(body)[0]
    except ImageError:
        return "application/octet-stream"


def _after(prefix: str) -> str:
    """The first text that is greater than every text with the prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
