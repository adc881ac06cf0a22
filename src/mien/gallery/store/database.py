"""Connect to the SQLite file that is the source of truth, and raise its errors as StorageError.

Every acknowledged write survives the death of the process. A loss of power may take back the writes of the
last moments, never a part of one, and leaves a sound file: `synchronous=NORMAL` waits for the disk at checkpoints
only (0.2 ms per added face; 6 ms with FULL, where a flush takes 4 ms). Deleted rows are overwritten with zeros.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from mien.domain.errors import StorageBusy, StorageDamaged, StorageError, StorageFull, StorageReadOnly
from mien.domain.waiting import reset_in_forks
from mien.gallery.store import private_files

BUSY_SECONDS = 30
LOG_BUSY_SECONDS = 0.2
"""How long emptying the log waits for readers: meanwhile nobody else can write."""
LOG_PAUSE_SECONDS = 1.0
"""After it has waited in vain it does not wait again for so long: else others might find no moment to write."""

NO_LIMIT = -1
"""For SQLite's LIMIT."""

PAGE_BYTES = 8192
"""Fifteen embeddings per page; SQLite's default of 4096 wastes a tenth of the file."""

PRAGMAS = (
    f"PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
    "PRAGMA temp_store=MEMORY;"  # nothing of anybody is written to the system's folder for temporary files
)

READ_ONLY = (
    "The data folder is read-only: people can be listed and recognised (`mien recognize --no-store`), but nothing can "
    "be stored, changed or erased."
)
_WAL_READ_ONLY = (
    "The last changes stand in {name}-wal, which cannot be read in a read-only folder. Make the folder writable, and "
    "run `mien doctor` once."
)

_CLOSED = "The data folder is closed."
_FORKED = "This process was forked from one that has the data folder open: open it only after the fork."
_OF_PARENTS: list[sqlite3.Connection] = []
"""Connections that a forked child has inherited, and must neither use nor close."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a damaged record may lead to."""

_DAMAGED_RECORD = (
    "A record in {where} is damaged. Restore mien.db from a backup; docs/troubleshooting.md says how to find it."
)
_MALFORMED_JSON = "malformed JSON"
_NO_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {}

_SQLITE_ERRORS = {
    sqlite3.SQLITE_FULL: (StorageFull, "The disk is full; the last change was not stored."),
    sqlite3.SQLITE_CORRUPT: (StorageDamaged, "The database is damaged. Restore {name} from a backup."),
    sqlite3.SQLITE_NOTADB: (StorageDamaged, "{name} is not a database. Restore it from a backup."),
    sqlite3.SQLITE_BUSY: (StorageBusy, "Another process holds {name}; try again."),
    sqlite3.SQLITE_LOCKED: (StorageBusy, "Another process holds {name}; try again."),
    sqlite3.SQLITE_READONLY: (StorageReadOnly, READ_ONLY),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "{name} cannot be opened in the data folder."),
    sqlite3.SQLITE_IOERR: (StorageError, "{name} could not be read or written; the disk may be full or failing."),
}


_MAYBE_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""What SQLite says, too, when a full disk has no room for the files that it keeps beside the database."""
_FULL_BYTES = 1 << 20


@contextmanager
def storage_errors(name: str, folder: Path | None = None) -> Iterator[None]:
    """Raise errors of SQLite and the file system as StorageError or a subclass; the message names the file `name`.

    With the `folder` of a database, errors that a full disk causes are told from those of a failing one.
    """
    try:
        yield
    except sqlite3.Error as error:
        if _MALFORMED_JSON in str(error):
            raise StorageDamaged(_DAMAGED_RECORD.format(where="the database")) from error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _MAYBE_FULL and folder is not None and _is_full(folder):
            code = sqlite3.SQLITE_FULL
        kind, sentence = _SQLITE_ERRORS.get(code, (StorageError, "The database failed."))
        raise kind(sentence.format(name=name)) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("The disk is full.") from error
        if error.errno == errno.EROFS:
            raise StorageReadOnly(READ_ONLY) from error
        raise StorageError("The data folder cannot be used: it cannot be created, read or written.") from error


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _FULL_BYTES
    return False


def damaged_record(table: str) -> StorageDamaged:
    """Return the error for a record of a table that cannot be read. It does not tell the key, which may be a name."""
    return StorageDamaged(_DAMAGED_RECORD.format(where=f"the table {table} of mien.db"))


class Reader(Protocol):
    """A database, or a transaction in it."""

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of one SELECT."""
        ...


class Transaction:
    """Statements between BEGIN and COMMIT; reads see what the transaction wrote."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self.execute(statement, values).fetchall()


_check: ContextVar[Callable[[Transaction], None] | None] = ContextVar("check", default=None)


@contextmanager
def guarded(check: Callable[[Transaction], None]) -> Iterator[None]:
    """Run `check` at the begin of each transaction that this thread writes; what it raises ends the transaction."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


class Database:
    """A pool of connections to one SQLite file; thread-safe, since each call borrows a connection.

    Every method raises StorageError or a subclass. A file that exists and cannot be written to can be read.

    Attributes:
        is_read_only: Whether the file, or what SQLite keeps beside it, cannot be written to.

    Args:
        path: The file; it and its folder are created where they are missing.
        functions: Functions of one argument that statements may call, by name.
    """

    def __init__(self, path: Path, functions: Mapping[str, Callable[[Any], Any]] = _NO_FUNCTIONS) -> None:
        self.path = path
        self._functions = functions
        self._closed = ""
        self._log_pause_until = 0.0
        self.is_read_only = is_read_only(path)
        self._idle: list[sqlite3.Connection] = []
        reset_in_forks(self._leave_to_parent)
        if self.is_read_only:
            return
        with self._errors():
            private_files.make_folder(path.parent)
            with suppress(FileExistsError):  # SQLite gives its other files the permissions of this one
                os.close(private_files.create_file(path))

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of one SELECT, which sees one state of the database."""
        with self._errors(), self._borrowed() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def rows(self, statement: str, values: Sequence[Any] = ()) -> Iterator[Iterable[Any]]:
        """Let the rows of one SELECT be read one by one, as many as are wanted."""
        with (
            self._errors(),
            self._borrowed() as connection,
            closing(connection.execute(statement, values)) as cursor,
        ):
            yield cursor

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a transaction that excludes all other writers, so that what it reads stays true until it commits."""
        self.check_writable()
        with self._errors(), self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(connection)
                if check := _check.get():
                    check(transaction)
                yield transaction
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """Begin a transaction whose reads all see one state while others write."""
        with self._errors(), self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield Transaction(connection)
            finally:
                connection.rollback()

    def copy_to(self, path: Path) -> None:
        """Write the present state to a new file, while others write, by SQLite's backup API; the copy is checked."""
        with storage_errors(path.name), closing(_new_file(path)) as copy:
            with self._borrowed() as connection:
                connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # the copy is a single file
            if copy.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
                raise StorageDamaged(f"The database is damaged. Restore {self.path.name} from a backup.")

    def truncate_log(self) -> bool:
        """Move what the write-ahead log holds into the file and empty it; False while others read an older state."""
        self.check_writable()
        may_wait = time.monotonic() >= self._log_pause_until
        with self._errors(), self._borrowed() as connection:
            _set_timeout(connection, LOG_BUSY_SECONDS if may_wait else 0)
            try:
                is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                _set_timeout(connection, BUSY_SECONDS)
        if is_busy and may_wait:
            self._log_pause_until = time.monotonic() + LOG_PAUSE_SECONDS
        return not is_busy

    def check_writable(self) -> None:
        """Raise StorageReadOnly when the file can only be read."""
        if self.is_read_only:
            raise StorageReadOnly(READ_ONLY)

    def check(self) -> None:
        """Read the whole file; raise StorageDamaged when a page is corrupt. Takes seconds per gigabyte."""
        if self.read("PRAGMA quick_check(1)") != [("ok",)]:
            raise StorageDamaged(f"The database is damaged. Restore {self.path.name} from a backup.")

    def close(self) -> None:
        """Close all connections; borrowed ones close when they are given back."""
        self._closed = self._closed or _CLOSED
        while self._idle:
            self._idle.pop().close()

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.path.name, self.path.parent)

    def _leave_to_parent(self) -> None:
        """Refuse all calls: in a child SQLite's locks would be its parent's, and the file might be damaged.

        https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
        """
        self._closed = _FORKED
        _OF_PARENTS.extend(self._idle)
        self._idle.clear()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StorageError(self._closed)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        target = read_only_uri(self.path) if self.is_read_only else self.path
        connection = sqlite3.connect(
            target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=self.is_read_only
        )
        try:
            if not self.is_read_only:
                connection.executescript(PRAGMAS)
            for name, function in self._functions.items():
                connection.create_function(name, 1, function, deterministic=True)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _set_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


def _new_file(path: Path) -> sqlite3.Connection:
    os.close(private_files.create_file(path))
    return sqlite3.connect(path, isolation_level=None)


def is_read_only(path: Path) -> bool:
    """Tell whether a database exists that cannot be written: its file, its folder, or what SQLite keeps in there."""
    if not os.path.exists(path):
        return False
    beside = [log for log in (_wal(path), path.with_name(f"{path.name}-shm")) if os.path.exists(log)]
    return not all(os.access(each, os.W_OK) for each in (path.parent, path, *beside))


def read_only_uri(path: Path) -> str:
    """Return the URI with which SQLite opens a database for reading where it cannot write a file beside it.

    Without a write-ahead log the file is complete, and read as if nothing ever changed it; SQLite would want to create
    the log otherwise. Raises StorageError when there is a log, but not its index, which SQLite would have to create.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not _wal(path).exists() or not _wal(path).stat().st_size:
        return f"{uri}&immutable=1"
    if not path.with_name(f"{path.name}-shm").exists():
        raise StorageError(_WAL_READ_ONLY.format(name=path.name))
    return uri


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
