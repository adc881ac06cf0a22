"""Make a data folder from a backup, completely or not at all.

Everything is unpacked, checked and brought up to date in a folder within the data folder, and moved to its place then.
While that folder exists, Mien opens nothing; what an interrupted restore has left is removed by the next one.

A backup still holds who was forgotten after it was made. Who is known to have been, is forgotten again before anything
of the restored folder can be used.
"""

from __future__ import annotations

import hmac
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.app.erasure import keyed_hash
from mien.backends.embedded import archive
from mien.backends.embedded.archive import PHOTOS, Entry
from mien.backends.embedded.backend import CONTENT, RESTORING
from mien.backends.embedded.backup import DATABASE, KEYS, SECRET, locked
from mien.backends.embedded.bucket import VOLUME_MARKER
from mien.backends.embedded.catalog import SqliteCatalog
from mien.backends.embedded.damage import check_records
from mien.domain import object_keys
from mien.domain.errors import AlreadyExists, InvalidInput, SetupError, StorageBusy, StorageDamaged, UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.records import Consent, Erasure, ErasureReceipt, FaceRecord, Person, Upload
from mien.gallery.store import deep_folders, private_files, schema
from mien.gallery.store.database import UNREADABLE, Database, storage_errors
from mien.security.api_keys import KeyFile

if TYPE_CHECKING:
    from mien.backends.embedded.backend import EmbeddedBackend

PAGE_SIZE = 1000
PASSIVE = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")
"""How the statements in a database's schema begin that do nothing by themselves."""
BACKED_UP = frozenset({"BucketMark", "BucketObjects", "FaceMetadata", "People", "Uploads"})
"""Tables that the database of a backup has, of whatever version: a backup is not made without them."""

_KEPT = frozenset({"lost+found"})
"""What an empty folder may hold: file systems make it."""


@dataclass(frozen=True, slots=True)
class RestoreSummary:
    """What was restored.

    Attributes:
        created_at: The moment whose state it is.
        version: The version of Mien that wrote the backup.
        people, faces, photos: How many there are now.
        forgotten: How many people of the backup were forgotten again.
        has_keys: Whether API keys were restored.
    """

    created_at: datetime
    version: str
    people: int
    faces: int
    photos: int
    forgotten: int
    has_keys: bool


def restore(
    file: Path,
    data_dir: Path,
    open_backend: Callable[[Path], EmbeddedBackend],
    *,
    passphrase: Callable[[], str],
    former: Path | None = None,
    record: Callable[[EmbeddedBackend], None] = lambda _: None,
) -> RestoreSummary:
    """Restore a backup into a folder that is empty or missing.

    Args:
        file: The backup.
        data_dir: The folder.
        open_backend: Opens a data folder.
        passphrase: Asked for when the backup is encrypted.
        former: The data folder of which the backup was made, as it is now: whoever was forgotten in it since the
            backup is forgotten in the restored folder, too.
        record: Called with the restored folder before it is used, to write into its audit log.

    Raises AlreadyExists when the folder is in use, StorageBusy while it is restored, InvalidInput, and StorageErrors.
    """
    with storage_errors(file.name), _draft(data_dir) as draft:
        with _opened(file) as source, archive.reading(source, passphrase) as stream:
            head, photos = _unpack(archive.entries(stream), draft)
        created_at = datetime.fromisoformat(head["created_at"])
        _check_schema(draft / DATABASE)
        _check_keys(draft / KEYS)
        with _refusing_damage():
            backend = open_backend(draft)
        with backend.app as app:
            _check_records(backend)
            receipts, people = _forgotten_since(draft, former, backend.catalog)
            forgotten = len(app.resume_erasures())
            for user_id in people:
                with suppress(UserNotFound):  # resumed just now, or gone with the person into whom they are merged
                    app.forget(user_id)
                    forgotten += 1
            backend.catalog.put(*receipts)
            forgotten += len(app.expire().receipts)
            record(backend)
            summary = RestoreSummary(
                created_at,
                str(head["version"]),
                sum(1 for _ in iterate_pages(lambda token: app.people(PAGE_SIZE, token))),
                sum(1 for _ in iterate_pages(lambda token: app.faces(limit=PAGE_SIZE, token=token))),
                sum(1 for _ in backend.bucket.keys(object_keys.UPLOADED)) if photos else 0,
                forgotten,
                bool(head["has_keys"]),
            )
        _move(draft, data_dir)
    return summary


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


@contextmanager
def _draft(data_dir: Path) -> Iterator[Path]:
    """Yield an empty folder in the data folder; when the restore fails, the data folder is as it was."""
    was_there = data_dir.exists()
    if was_there and not data_dir.is_dir():
        raise AlreadyExists(f"{data_dir} is not a folder.")
    draft = data_dir / RESTORING
    own = _KEPT.union(CONTENT) if draft.exists() else _KEPT
    if was_there and {entry.name for entry in data_dir.iterdir()} - own:
        raise AlreadyExists(
            f"{data_dir} is not empty, and a restore never replaces data: name another folder with --data-dir, or "
            "empty this one with `mien reset`."
        )
    private_files.make_folder(data_dir)
    with _alone(data_dir):
        if draft.exists():
            _clear(data_dir)
        private_files.make_folder(draft)
        try:
            yield draft
        except BaseException:
            _clear(data_dir)
            if not was_there:
                data_dir.rmdir()
            raise


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Keep other restores out of a data folder, which would clear it. Raises StorageBusy while there is one."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(data_dir))
        except BlockingIOError:
            raise StorageBusy(f"Another restore into {data_dir} is under way.") from None
        yield


def _clear(data_dir: Path) -> None:
    """Remove what a restore has put into a data folder, and last of all the sign that there was one."""
    for name in (*(name for name in CONTENT if name != RESTORING), RESTORING):
        path = data_dir / name
        if path.is_dir() and not path.is_symlink():
            deep_folders.remove(path)
        else:
            path.unlink(missing_ok=True)


def _unpack(found: Iterator[Entry], draft: Path) -> tuple[dict[str, Any], int]:
    """Write the files of a backup, and return its head and how many photos it has."""
    first = next(found, None)
    if first is None:
        raise StorageDamaged(archive.DAMAGED.format("it is empty"))
    head = archive.read_head(first)
    photos = 0
    try:
        for entry in found:
            photos += _write_entry(entry, draft)
    except (InvalidInput, FileExistsError, NotADirectoryError) as error:
        raise StorageDamaged(archive.DAMAGED.format("it holds something that Mien does not write")) from error
    if missing := {DATABASE, SECRET} - {path.name for path in draft.iterdir()}:
        raise StorageDamaged(archive.DAMAGED.format(f"it lacks {' and '.join(sorted(missing))}"))
    if (draft / KEYS).exists() != bool(head["has_keys"]):
        raise StorageDamaged(archive.DAMAGED.format("it does not say whether it holds API keys"))
    private_files.make_folder(draft / "bucket")
    with open(draft / "bucket" / VOLUME_MARKER, "w", encoding="ascii", opener=private_files.opener) as marker:
        marker.write(f"{head['mark']}\n")
    return head, photos


def _check_schema(database: Path) -> None:
    """Raise StorageDamaged for a database that is none of Mien's, or has programs.

    Triggers and the like would work on whatever is stored later.

    Only the statement tells what SQLite makes of a row of the schema, and it writes those of tables and indexes in one
    form; the indexes that it makes by itself have none.
    """
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        schema_rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if not all(isinstance(sql, str) and sql.startswith(PASSIVE) for _, sql in schema_rows):
        raise StorageDamaged(archive.DAMAGED.format("its database holds something that Mien does not write"))
    if not {name for name, _ in schema_rows} >= BACKED_UP:
        raise StorageDamaged(archive.DAMAGED.format("its database lacks tables"))


def _check_keys(file: Path) -> None:
    """Raise StorageDamaged for API keys that cannot be read."""
    try:
        KeyFile(file).list()
    except SetupError as error:
        raise StorageDamaged(archive.DAMAGED.format("its API keys cannot be read")) from error


def _check_records(backend: EmbeddedBackend) -> None:
    """Read every record, and what tells the version. Raises StorageDamaged, and StorageError for a newer version."""
    with _refusing_damage():
        backend.database.check()
        schema.prepare(backend.database)
        check_records(backend.database)


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except (StorageDamaged, *UNREADABLE) as error:
        raise StorageDamaged(archive.DAMAGED.format("its database has something in it that cannot be read")) from error


def _write_entry(entry: Entry, draft: Path) -> bool:
    """Write a file of a backup, and return whether it is a photo. Raises InvalidInput for one of another name."""
    if entry.name in {DATABASE, SECRET, KEYS}:
        archive.copy_to(entry, draft / entry.name)
        return False
    if not entry.name.startswith(PHOTOS):
        raise InvalidInput("A backup has no such file.")
    path = draft / "bucket" / object_keys.parse_image_path(entry.name.removeprefix(PHOTOS))
    private_files.make_folder(path.parent)
    archive.copy_to(entry, path)
    return True


def _forgotten_since(
    draft: Path, former: Path | None, catalog: SqliteCatalog
) -> tuple[list[ErasureReceipt], list[str]]:
    """Return the receipts of another folder that this one lacks, whatever the clock was, and whom they are about."""
    if former is None:
        return [], []
    if not (former / DATABASE).is_file():
        raise InvalidInput(f"{former} is no data folder of Mien.")
    key = (draft / SECRET).read_bytes()
    if not hmac.compare_digest((former / SECRET).read_bytes(), key):
        raise InvalidInput(f"The backup was not made of {former}: their secrets differ.")
    known = {receipt.erasure_id for receipt in _all(catalog, ErasureReceipt)}
    database = Database(former / DATABASE)
    try:
        other = SqliteCatalog(database)
        receipts = [receipt for receipt in _all(other, ErasureReceipt) if receipt.erasure_id not in known]
        pending = {intent.user_id for intent in _all(other, Erasure)}
    finally:
        database.close()
    gone, pseudonym = {receipt.user_id for receipt in receipts}, keyed_hash(key)
    return receipts, [user_id for user_id in _user_ids(catalog) if user_id in pending or pseudonym(user_id) in gone]


def _user_ids(catalog: SqliteCatalog) -> list[str]:
    """Every id of a person whom a folder knows; those that are merged into another come last."""
    found: dict[str, None] = {}
    for kind in (Person, Consent, Upload, FaceRecord):
        for record in _all(catalog, kind):
            if (user_id := record.user_id) is not None:
                found[user_id] = None
    return list(found)


def _all(catalog: SqliteCatalog, kind: type[Any]) -> Iterable[Any]:
    return iterate_pages(lambda token: catalog.find(kind, limit=PAGE_SIZE, token=token))


def _move(draft: Path, data_dir: Path) -> None:
    """Move everything to its place, the database last: without it, a folder holds nothing that Mien would use."""
    shutil.rmtree(draft / "index", ignore_errors=True)  # a cache, which is rebuilt
    names = [name for name in CONTENT if (draft / name).exists() and name != DATABASE]
    for name in (*names, DATABASE):
        (draft / name).rename(data_dir / name)
    draft.rmdir()
