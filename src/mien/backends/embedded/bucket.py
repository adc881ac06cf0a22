"""The Bucket in a folder: each image a plain file, written completely or not at all; metadata in SQLite.

A file that is copied into the folder by hand is an object like any other; its content type is found in its bytes.
A file that is deleted by hand is a deleted object, but only while the folder's marker file is present: a missing or
different marker means that the disk is not mounted, and then nothing counts as deleted.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mien.backends.embedded.database import truncate_wal
from mien.domain import image_types, object_keys
from mien.domain.errors import ImageError, ImageNotFound, InvalidInput, StorageError
from mien.domain.records import Image, UploadForm
from mien.gallery.store import private_files
from mien.gallery.store.database import Database, storage_errors
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_PATH, Signer

INCOMING = ".incoming"
VOLUME_MARKER = ".mark"


class FolderBucket:
    """Implements `mien.app.ports.Bucket` in a folder."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        signer: Signer,
        on_created: Callable[[str], None],
        on_deleted: Callable[[Sequence[str]], None],
    ) -> None:
        """Open or create the folder.

        Args:
            folder: Where the files lie; created where it is missing.
            database: Holds the tables BucketObjects and BucketMark.
            signer: Signs upload forms.
            on_created: Called with each key after its object was stored.
            on_deleted: Called with the keys after their objects were deleted.
        """
        self._folder, self._database, self._signer = folder, database, signer
        self._on_created, self._on_deleted = on_created, on_deleted
        with storage_errors("bucket"):
            private_files.make_folder(folder / object_keys.UPLOADED)
            private_files.make_folder(folder / INCOMING)
        self._marker = self._read_or_create_marker()

    def check_volume(self) -> None:
        """Raise StorageError when this is not the folder that the photos were stored in."""
        path = self._folder / VOLUME_MARKER
        with storage_errors("bucket"), suppress(FileNotFoundError):
            if path.read_text(encoding="ascii").strip() == self._marker:
                return
        raise StorageError(
            "The folder of the photos does not match this database (is the disk mounted?). If it is the right one, "
            f"write {self._marker} to bucket/{VOLUME_MARKER} in the data folder."
        )

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        target = self._path(key)
        self.check_volume()
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT OR REPLACE INTO BucketObjects VALUES (?, ?, ?)",
                (key, content_type, json.dumps(dict(metadata))),
            )
        with storage_errors("bucket"):
            self._write(target, body)
        self._on_created(key)

    def get(self, key: str) -> Image:
        path = self._path(key)
        with storage_errors("bucket"):
            if not path.is_file():
                self.check_volume()
                raise ImageNotFound("There is no photo under this path.")
            body = path.read_bytes()
        rows = self._database.read("SELECT ContentType, Metadata FROM BucketObjects WHERE Key = ?", (key,))
        if rows:
            return Image(body, rows[0][0], json.loads(rows[0][1]))
        return Image(body, _content_type(body))

    def keys(self, prefix: str) -> Iterator[str]:
        if _is_key(prefix) and self._path(prefix).is_file():
            yield prefix
        start = self._folder / prefix.rpartition("/")[0]
        for parent, _, files in os.walk(start):
            folder = Path(parent).relative_to(self._folder).as_posix()
            keys = (f"{folder}/{file}" for file in files)
            yield from (key for key in keys if key.startswith(prefix) and key != prefix and _is_key(key))

    def delete(self, keys: Sequence[str]) -> int:
        count = sum(self._unlink(self._path(key)) for key in keys)
        with self._database.write() as transaction:
            transaction.executemany("DELETE FROM BucketObjects WHERE Key = ?", [(key,) for key in keys])
        truncate_wal(self._database)
        self._on_deleted(keys)
        return count

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        claims = {"key": key, "type": content_type, "bytes": max_bytes}
        fields = {"key": key, "Content-Type": content_type}
        fields["policy"] = self._signer.sign(UPLOAD_FORM, claims, expires_in)
        return UploadForm(UPLOAD_FORM_PATH, fields, key, datetime.now(UTC) + timedelta(seconds=expires_in))

    def _read_or_create_marker(self) -> str:
        """The marker of the database, or, when it has none yet, that of the folder or a new one."""
        path = self._folder / VOLUME_MARKER
        with self._database.write() as transaction:
            rows = transaction.read("SELECT Mark FROM BucketMark")
            if rows:
                return str(rows[0][0])
            if not path.exists():
                with open(path, "w", encoding="ascii", opener=private_files.opener) as file:
                    file.write(f"{uuid.uuid4().hex}\n")
            marker = path.read_text(encoding="ascii").strip()
            transaction.execute("INSERT INTO BucketMark VALUES (?)", (marker,))
        return marker

    def _path(self, key: str) -> Path:
        path = self._folder / object_keys.parse_image_path(key)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise InvalidInput("The image path leads out of the bucket.")
        return path

    def _write(self, target: Path, body: bytes) -> None:
        draft = self._folder / INCOMING / uuid.uuid4().hex
        try:
            with os.fdopen(private_files.create_file(draft), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            _move(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(target.parent)

    def _unlink(self, path: Path) -> bool:
        with storage_errors("bucket"):
            if not path.is_file():
                return False
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)
            if path.parent != self._folder / object_keys.UPLOADED:
                with suppress(OSError):  # not empty
                    path.parent.rmdir()
            return True


def _move(draft: Path, target: Path) -> None:
    while True:
        private_files.make_folder(target.parent)
        try:
            draft.replace(target)
        except FileNotFoundError:  # the folder was removed as empty in between
            continue
        return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content_type(body: bytes) -> str:
    try:
        return image_types.sniff(body)[0]
    except ImageError:
        return "application/octet-stream"


def _is_key(text: str) -> bool:
    try:
        object_keys.user_id_of(text)
    except InvalidInput:
        return False
    return True
