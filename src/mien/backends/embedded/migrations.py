"""Bring mien.db of an earlier version of Mien up to date, and refuse one of a newer version.

A database has the number of steps that it has been through in `PRAGMA user_version`; a version of Mien knows a list of
steps, and only ever adds some at its end. All steps that a database lacks are one transaction: whatever interrupts
them, the next start finds the database as it was, and does all of them. Before that the database is copied.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from mien.domain.errors import StorageError, StorageFull
from mien.gallery.store import private_files
from mien.gallery.store.database import Database, Transaction, storage_errors

Step = Callable[[Transaction], None]

COPIES = "before-upgrade"
KEPT_SECONDS = 7 * 86_400
"""Long enough to notice that an upgrade went wrong. An erasure deletes the copies at once."""

NEWER = (
    "The data folder was written by a newer version of Mien (schema {0}; this one knows {1}). Update Mien, or restore "
    "a backup from before the upgrade into another folder."
)
NO_ROOM = (
    "The disk is too full to copy {0}, which has to be brought up to date and is copied before. Free {1:.0f} MB, and "
    "start again; nothing was changed."
)


def check_version(database: Database, steps: Sequence[Step]) -> None:
    """Raise StorageError for a database of a newer version."""
    if (found := _version(database)) > len(steps):
        raise StorageError(NEWER.format(found, len(steps)))


def migrate(database: Database, steps: Sequence[Step]) -> None:
    """Do the steps that a database lacks, all or none. A database that has tables is copied first.

    Raises StorageError, for a newer database too; StorageFull when there is no room for the copy.
    """
    check_version(database, steps)
    if _version(database) == len(steps):
        return
    if database.read("SELECT 1 FROM sqlite_master LIMIT 1"):
        _copy(database, _version(database))
    with database.write() as transaction:
        for step in steps[_version(transaction) :]:  # another process may have done them meanwhile
            step(transaction)
        transaction.execute(f"PRAGMA user_version = {len(steps)}")


def remove_copies(data_dir: Path, older_than: float = 0.0) -> None:
    """Delete the copies from before upgrades that are so many seconds old. Raises StorageError."""
    folder = data_dir / COPIES
    with storage_errors(COPIES):
        if not folder.is_dir():
            return
        for copy in folder.iterdir():
            if time.time() - copy.stat().st_mtime >= older_than:
                copy.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _version(database: Database | Transaction) -> int:
    ((version,),) = database.read("PRAGMA user_version")
    return int(version)


def _copy(database: Database, version: int) -> None:
    folder = database.path.parent / COPIES
    copy = folder / f"mien-{version}.db"
    draft = copy.with_name(f"{copy.name}.{uuid.uuid4().hex[:8]}")
    with storage_errors(COPIES):
        private_files.make_folder(folder)
        try:
            database.copy_to(draft)
            draft.rename(copy)
        except StorageFull as error:
            needed = database.path.stat().st_size / 1e6
            raise StorageFull(NO_ROOM.format(database.path.name, needed)) from error
        finally:
            draft.unlink(missing_ok=True)
