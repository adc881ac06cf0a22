"""Copy a data folder that is in use into one file: database and photos of one moment, and the secret."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from sqlite3 import Connection, connect
from typing import TYPE_CHECKING, Any

from mien.backends.embedded import archive, drafts, folder_tree
from mien.backends.embedded.archive import PHOTOS, ArchiveWriter
from mien.backends.embedded.damage import check_records
from mien.domain import object_keys
from mien.domain.errors import ImageTooLarge, InvalidInput, StorageBusy
from mien.gallery.store import private_files
from mien.gallery.store.database import Database, storage_errors

if TYPE_CHECKING:
    from mien.backends.embedded.backend import EmbeddedBackend

DATABASE, SECRET, KEYS = "mien.db", "secret", "api-keys.json"
WORK_FOLDER = "backup"
ATTEMPTS = 3
_ERASURES = (
    "SELECT UserId || ' ' || Timestamp FROM Erasures",
    "SELECT ErasureId FROM ErasureReceipts",
)
_ENROLLED = "SELECT 1 FROM Uploads WHERE ImagePath = ? AND json_extract(Item, '$.Status') = 'indexed'"


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds. `created_at` is the moment whose state it is; `size` is in bytes, of the file."""

    created_at: datetime
    people: int
    faces: int
    photos: int
    has_keys: bool
    is_encrypted: bool
    size: int


class ErasedMeanwhile(Exception):
    """Somebody was forgotten while the backup was written, and may still be in it."""


def back_up(
    backend: EmbeddedBackend,
    file: Path,
    *,
    keys_file: Path | None = None,
    passphrase: str | None = None,
) -> BackupSummary:
    """Write a backup, read it again, and give it its name only then.

    Args:
        backend: The data folder; other processes may go on using it.
        file: The backup's file, which must not exist, outside of the data folder.
        keys_file: The file of the API keys' hashes, when it is to be in the backup.
        passphrase: Encrypts the backup.

    Raises InvalidInput when the file cannot be written there, StorageBusy and other StorageErrors.
    """
    _check_place(backend.data_dir, file)
    backend.bucket.check_volume()
    remove_abandoned(backend.data_dir)
    for _ in range(ATTEMPTS):
        with suppress(ErasedMeanwhile), storage_errors(file.name):
            return _write(backend, file, keys_file, passphrase)
    raise StorageBusy("People were forgotten again and again while the backup was written; try again.")


def _check_place(data_dir: Path, file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise InvalidInput(f"{file} exists already; a backup never replaces a file.")
    if not file.parent.is_dir():
        raise InvalidInput(f"There is no folder {file.parent} for the backup.")
    parent, own = (os.path.realpath(path) for path in (file.parent, data_dir))  # `resolve` fails where links circle
    if Path(parent).is_relative_to(own):
        raise InvalidInput("A backup belongs outside of the data folder, best on another disk.")


def _write(backend: EmbeddedBackend, file: Path, keys_file: Path | None, passphrase: str | None) -> BackupSummary:
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _snapshot(backend) as (snapshot, created_at):
            with closing(Database(snapshot)) as copy:
                check_records(copy)  # a restore refuses what cannot be read
            with closing(connect(snapshot)) as connection:
                keys = list(_photos_of(backend, connection))
                head = _head(connection, created_at, has_keys=keys_file is not None)
            with os.fdopen(private_files.create_file(draft), "wb") as sink:
                with archive.writing(sink, passphrase) as stream:
                    photos = _fill(ArchiveWriter(stream, head), backend, snapshot, keys_file, keys)
                sink.flush()
                os.fsync(sink.fileno())
            _check_nobody_erased(backend, snapshot)
        with draft.open("rb") as source, archive.reading(source, lambda: passphrase or "") as stream:
            for _ in archive.entries(stream):  # reads all of it, and checks the digest
                pass
        size = draft.stat().st_size
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    drafts.sync_folder(file.parent)
    head |= {"created_at": created_at, "photos": photos}
    del head["version"], head["mark"]
    return BackupSummary(**head, is_encrypted=passphrase is not None, size=size)


@contextmanager
def _snapshot(backend: EmbeddedBackend) -> Iterator[tuple[Path, datetime]]:
    """Yield a copy of the database, and a time after which nothing of it was erased."""
    if backend.is_read_only:
        folder = Path(tempfile.mkdtemp(prefix="mien-"))
    else:
        folder = backend.data_dir / WORK_FOLDER / uuid.uuid4().hex
        private_files.make_folder(folder)
    try:
        with locked(folder):
            created_at = datetime.now(UTC)
            backend.database.copy_to(folder / DATABASE)
            yield folder / DATABASE, created_at
    finally:
        shutil.rmtree(folder)
        with suppress(OSError):  # another backup is being written
            (backend.data_dir / WORK_FOLDER).rmdir()


def _photos_of(backend: EmbeddedBackend, snapshot: Connection) -> Iterator[str]:
    """List the photos that were there at the time of the snapshot: those that it knows, and older files."""
    now = datetime.fromtimestamp(backend.bucket.clock(), UTC)
    for key in backend.bucket.keys(object_keys.UPLOADED):
        is_known = snapshot.execute("SELECT 1 FROM BucketObjects WHERE Key = ?", (key,)).fetchone()
        stored_at = backend.bucket.stored_at(key)
        if is_known or (stored_at is not None and stored_at <= now):
            yield key


def _head(snapshot: Connection, created_at: datetime, *, has_keys: bool) -> dict[str, Any]:
    ((mark,),) = snapshot.execute("SELECT Mark FROM BucketMark").fetchall()
    ((faces,),) = snapshot.execute(
        "SELECT count(*) FROM FaceMetadata WHERE json_extract(Item, '$.Negative') IS NOT 1"
    ).fetchall()
    ((people,),) = snapshot.execute(
        "SELECT count(*) FROM People WHERE json_extract(Item, '$.Pending') IS NOT 1"
        " AND json_extract(Item, '$.MergedInto') IS NULL"
    ).fetchall()
    return {
        "version": version("mien"),
        "created_at": created_at.isoformat(),
        "mark": mark,
        "people": people,
        "faces": faces,
        "has_keys": has_keys,
    }


def _fill(
    writer: ArchiveWriter, backend: EmbeddedBackend, snapshot: Path, keys_file: Path | None, keys: list[str]
) -> int:
    """Write all files, and return how many of them are photos: those deleted meanwhile or too large are left out.

    Raises InvalidInput when one is too large that is enrolled.
    """
    writer.add_file(DATABASE, snapshot)
    writer.add_file(SECRET, backend.data_dir / SECRET)
    if keys_file is not None:
        writer.add_file(KEYS, keys_file)
    photos, bucket = 0, backend.data_dir / "bucket"
    for key in keys:
        with suppress(FileNotFoundError):
            status = (bucket / key).lstat()
            try:
                body = folder_tree.read(bucket, key, backend.bucket.max_bytes)
            except ImageTooLarge:
                _check_not_enrolled(snapshot, key, status.st_size)
                continue
            if body is not None:
                writer.add_bytes(f"{PHOTOS}{key}", body, status.st_mtime_ns)
                photos += 1
    writer.close()
    return photos


def _check_not_enrolled(snapshot: Path, key: str, size: int) -> None:
    """Raise InvalidInput when a photo is enrolled: without it, a restored folder would lose its face."""
    with closing(connect(snapshot)) as connection:
        if connection.execute(_ENROLLED, (key,)).fetchone():
            raise InvalidInput(
                f"A photo of {size:,} bytes is enrolled, which is too large to be read here, and without it the backup "
                f"would not be whole. Set MIEN_MAX_IMAGE_BYTES as for the server, to {size} or more."
            )


def _check_nobody_erased(backend: EmbeddedBackend, snapshot: Path) -> None:
    """Raise ErasedMeanwhile when an erasure was asked for or finished after the snapshot."""
    with closing(connect(snapshot)) as connection:
        for statement in _ERASURES:
            before = {text for (text,) in connection.execute(statement)}
            if not before.issuperset(text for (text,) in backend.database.read(statement)):
                raise ErasedMeanwhile


def remove_abandoned(data_dir: Path) -> None:
    """Remove the copies of the database that backups which were killed have left. Raises StorageError."""
    with storage_errors(WORK_FOLDER):
        for folder in (data_dir / WORK_FOLDER).glob("*"):
            with suppress(BlockingIOError, NotADirectoryError), locked(folder):
                shutil.rmtree(folder)
        with suppress(OSError):  # missing, or another backup is being written
            (data_dir / WORK_FOLDER).rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which ends with this process. Raises BlockingIOError when another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
