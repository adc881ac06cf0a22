"""mien.db, which the gallery's tables and the application's share, and the file system's errors as sentences."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.domain.errors import StorageError, StorageFull
from mien.gallery.store.database import Database


def open_database(path: Path, schema: str) -> Database:
    database = Database(path)
    with database.write() as transaction:
        for statement in filter(str.strip, schema.split(";")):
            transaction.execute(statement)
    return database


def scrub(database: Database) -> None:
    """Empty the write-ahead log, where deleted rows are still to be read."""
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("The disk is full.") from error
        raise StorageError("The data folder cannot be used: it cannot be made, read or written.") from error
