"""Images as plain files under `bucket/`, each written whole or not at all; what else is known of them in SQLite.

A file that was copied there by hand is an object like any other; its content type comes from its bytes. One that was
deleted by hand is gone, but only if the folder is the one that it lay in, and not what is seen of it while its disk
is not mounted: a mark in the folder, which SQLite knows too, tells them apart.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mien.backends.embedded.database import scrub, storage_errors
from mien.domain import image_types, object_keys
from mien.domain.errors import ImageError, ImageNotFound, InvalidInput, StorageError
from mien.domain.records import Image, UploadForm
from mien.gallery.store.database import Database
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_PATH, Signer

SCHEMA = """
CREATE TABLE IF NOT EXISTS BucketObjects (
  Key TEXT PRIMARY KEY, ContentType TEXT NOT NULL, Metadata TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS BucketMark (Mark TEXT PRIMARY KEY) WITHOUT ROWID;
"""
INCOMING = ".incoming"
MARK = ".mark"


class FolderBucket:
    """`created` and `deleted` hear of keys after the fact."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        signer: Signer,
        created: Callable[[str], None] = lambda _: None,
        deleted: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._folder, self._database, self._signer = folder, database, signer
        self._created, self._deleted = created, deleted
        with storage_errors():
            (folder / object_keys.UPLOADED).mkdir(parents=True, exist_ok=True)
            (folder / INCOMING).mkdir(exist_ok=True)
        self._mark = self._agree_on_mark()

    def check(self) -> None:
        """StorageError when this is not the folder that the photos are in."""
        path = self._folder / MARK
        with storage_errors(), suppress(FileNotFoundError):
            if path.read_text(encoding="ascii").strip() == self._mark:
                return
        raise StorageError(
            "The folder of the photos is not the one that they were stored in; its disk may not be mounted. If it is, "
            f"after all, write {self._mark} into bucket/{MARK} of the data folder."
        )

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        target = self._path(key)
        self.check()
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT OR REPLACE INTO BucketObjects VALUES (?, ?, ?)",
                (key, content_type, json.dumps(dict(metadata))),
            )
        with storage_errors():
            self._write(target, body)
        self._created(key)

    def get(self, key: str) -> Image:
        path = self._path(key)
        with storage_errors():
            if not path.is_file():
                self.check()
                raise ImageNotFound("There is no photo under this path.")
            body = path.read_bytes()
        known = self._database.read("SELECT ContentType, Metadata FROM BucketObjects WHERE Key = ?", (key,))
        if known:
            return Image(body, known[0][0], json.loads(known[0][1]))
        return Image(body, _content_type(body))

    def keys(self, prefix: str) -> Iterator[str]:
        if _is_key(prefix) and self._path(prefix).is_file():
            yield prefix
        start = self._folder / prefix.rpartition("/")[0]
        for parent, _, files in os.walk(start):
            place = Path(parent).relative_to(self._folder).as_posix()
            keys = (f"{place}/{file}" for file in files)
            yield from (key for key in keys if key.startswith(prefix) and key != prefix and _is_key(key))

    def delete(self, keys: Sequence[str]) -> int:
        gone = sum(self._unlink(self._path(key)) for key in keys)
        with self._database.write() as transaction:
            transaction.executemany("DELETE FROM BucketObjects WHERE Key = ?", [(key,) for key in keys])
        scrub(self._database)
        self._deleted(keys)
        return gone

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        facts = {"key": key, "type": content_type, "bytes": max_bytes}
        fields = {"key": key, "Content-Type": content_type}
        fields["policy"] = self._signer.sign(UPLOAD_FORM, facts, expires_in)
        return UploadForm(UPLOAD_FORM_PATH, fields, key, datetime.now(UTC) + timedelta(seconds=expires_in))

    def _agree_on_mark(self) -> str:
        path = self._folder / MARK
        with self._database.write() as transaction, storage_errors():
            known = transaction.read("SELECT Mark FROM BucketMark")
            if known:
                return str(known[0][0])
            if not path.exists():
                path.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
            mark = path.read_text(encoding="ascii").strip()
            transaction.execute("INSERT INTO BucketMark VALUES (?)", (mark,))
        return mark

    def _path(self, key: str) -> Path:
        path = self._folder / object_keys.parse_image_path(key)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise InvalidInput("The image path leads out of the bucket.")
        return path

    def _write(self, target: Path, body: bytes) -> None:
        draft = self._folder / INCOMING / uuid.uuid4().hex
        try:
            with draft.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            _move(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(target.parent)

    def _unlink(self, path: Path) -> bool:
        with storage_errors():
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
        target.parent.mkdir(parents=True, exist_ok=True)
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
