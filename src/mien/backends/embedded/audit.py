"""Keep the audit log in mien.db: AuditLog, one entry per row, and AuditMarks, the signed ends of its chain.

An entry is committed before its caller gets an answer, so that it survives `kill -9` as every answered write does.
Callers that wait at the same time share one transaction. Several processes append to one chain: each transaction
excludes all others from the head that it reads to the head that it writes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from threading import Lock
from typing import Any

from mien.domain.errors import InvalidInput, StorageDamaged, StorageError
from mien.domain.faces import Page
from mien.gallery.store.database import Database, Reader, Transaction
from mien.security.audit import RETENTION, Action, Activity, AuditEntry, AuditFilter, pseudonym
from mien.security.audit_chain import (
    CHECKPOINT,
    HEAD,
    START,
    UNKNOWN,
    Break,
    Mark,
    Part,
    breaks,
    digest_of,
    sign,
    write_item,
)
from mien.security.signing import Signer

BATCH = 1000
EXPIRY_INTERVAL = timedelta(hours=1)

_TABLES = (
    "CREATE TABLE AuditLog (Sequence INTEGER PRIMARY KEY, Item TEXT NOT NULL)",
    """
    CREATE TABLE AuditMarks (
      Name TEXT PRIMARY KEY, Sequence INTEGER NOT NULL, Digest TEXT NOT NULL, Mac TEXT NOT NULL) WITHOUT ROWID
    """,
)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE name = 'AuditLog'"
_BEFORE_ALL = -(2**63)
_AFTER = "SELECT Sequence, Item FROM AuditLog WHERE Sequence > ? ORDER BY Sequence LIMIT ?"

log = logging.getLogger("mien.audit")


@dataclass(slots=True)
class _Batch:
    """Entries that are written in one transaction, and how that ended."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    is_written: bool = False
    error: StorageError | None = None


class SqliteAudit:
    """Implements `mien.security.audit.Audit` in mien.db, and verifies and exports it. Raises StorageError leaves."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        model: Callable[[], str | None],
        days: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Create the tables where they are missing.

        Args:
            database: mien.db.
            signer: Holds the folder's own secret.
            model: Returns the version of the model in use; None when it is not known.
            days: Days after which entries are removed; None keeps them.
            now: Returns the time, aware and in UTC.
        """
        self._database, self._signer, self._model, self._now = database, signer, model, now
        self._retention = None if days is None else timedelta(days=days)
        self._expired_at = datetime.min.replace(tzinfo=UTC)
        self._collecting, self._writing = Lock(), Lock()
        self._batch = _Batch()
        self._head: Mark | None = None  # the last one that this process has written
        if not database.read(_EXISTS):
            with database.write() as transaction:
                self._create(transaction)

    def record(self, activity: Activity) -> None:
        """Write an entry; an erasure is not held up by a log that cannot be written, as on a full disk."""
        try:
            self._append(activity.facts(self._signer) | {"model": activity.model or self._model()})
        except StorageError as error:
            if activity.action is not Action.ERASE:
                raise
            log.error("an erasure has no entry in the audit log", extra={"error": type(error).__name__})  # noqa: TRY400

    def find(self, wanted: AuditFilter, limit: int, token: str | None) -> Page[AuditEntry]:
        """List entries, newest first."""
        rows = list(self._newest(wanted, limit + 1, token))
        entries = tuple(_entry(sequence, item) for sequence, item in rows[:limit])
        return Page(entries, str(entries[-1].sequence) if len(rows) > limit else None)

    def export(self, wanted: AuditFilter) -> Iterator[str]:
        """Yield entries as they are stored, oldest first, each one line of JSON."""
        conditions, values = _conditions(wanted, self._signer)
        last = _BEFORE_ALL
        while True:
            rows = self._database.read(
                f"SELECT Sequence, Item FROM AuditLog WHERE Sequence > ? AND {conditions} ORDER BY Sequence LIMIT ?",  # noqa: S608
                [last, *values, BATCH],
            )
            yield from (item for _, item in rows)
            if len(rows) < BATCH:
                return
            last = rows[-1][0]

    def breaks(self) -> list[Break]:
        """Read the whole log and return where its chain is broken; nothing when it is whole.

        Others may append and remove entries meanwhile.
        """
        return list(breaks(self._parts(), self._signer))

    def head(self) -> Mark | None:
        """Return the mark of the last entry."""
        return _mark(self._database, HEAD)

    def expire(self) -> None:
        """Remove some of the entries whose time is over; the checkpoint then stands in their place.

        `record` does so every hour; a server also calls this, for times in which nobody does anything.
        """
        if self._is_expiry_due():
            with self._writing, self._database.write() as transaction:
                self._write(transaction, [])

    def _parts(self) -> Iterator[Part]:
        """Read the log piece by piece: while one state of the database is read, its log cannot be emptied."""
        last, is_end = _BEFORE_ALL, False
        while not is_end:
            with self._database.snapshot() as snapshot:
                items = snapshot.read(_AFTER, (last, BATCH))
                part = Part(items, _mark(snapshot, CHECKPOINT), _mark(snapshot, HEAD))
            yield part
            is_end = len(items) < BATCH
            last = items[-1][0] if items else last

    def _create(self, transaction: Transaction) -> None:
        if transaction.read(_EXISTS):
            return
        for statement in _TABLES:
            transaction.execute(statement)
        _put_mark(transaction, sign(self._signer, CHECKPOINT, 0, START))
        _put_mark(transaction, sign(self._signer, HEAD, 0, START))

    def _append(self, entry: dict[str, Any]) -> None:
        with self._collecting:
            batch = self._batch
            batch.entries.append(entry)
        with self._writing:
            if not batch.is_written:
                with self._collecting:
                    self._batch = _Batch()
                self._commit(batch)
        if batch.error is not None:
            raise batch.error

    def _commit(self, batch: _Batch) -> None:
        batch.error = StorageError("The audit log could not be written.")  # also if an interruption ends this thread
        batch.is_written = True
        try:
            with self._database.write() as transaction:
                self._write(transaction, batch.entries)
        except StorageError as error:
            batch.error = error
        else:
            batch.error = None

    def _write(self, transaction: Transaction, entries: Sequence[dict[str, Any]]) -> None:
        time = self._now()
        if self._is_expiry_due():
            entries = [*self._expire(transaction, time), *entries]
        head = _mark(transaction, HEAD)
        if head is not None and (head == self._head or head.is_valid(self._signer)):
            sequence, digest = head.sequence, head.digest
        else:
            sequence, digest = transaction.read("SELECT coalesce(max(Sequence), 0) FROM AuditLog")[0][0], UNKNOWN
        rows = []
        for facts in entries:
            sequence += 1
            item = write_item(sequence, _text(time), facts, digest)
            rows.append((sequence, item))
            digest = digest_of(item)
        if rows:
            transaction.executemany("INSERT OR REPLACE INTO AuditLog VALUES (?, ?)", rows)
            self._head = sign(self._signer, HEAD, sequence, digest)
            _put_mark(transaction, self._head)

    def _is_expiry_due(self) -> bool:
        return self._retention is not None and self._now() - self._expired_at >= EXPIRY_INTERVAL

    def _expire(self, transaction: Transaction, time: datetime) -> list[dict[str, Any]]:
        """Remove the first entries if they are too old, a batch at most; return the entry that says so."""
        if self._retention is None:
            return []
        oldest, limit = transaction.read(_AFTER, (_BEFORE_ALL, BATCH)), _text(time - self._retention)
        expired = list(takewhile(lambda row: _time(row[1]) < limit, oldest))
        if len(expired) < BATCH:
            self._expired_at = time
        if not expired:
            return []
        sequence, item = expired[-1]
        transaction.execute("DELETE FROM AuditLog WHERE Sequence <= ?", (sequence,))
        _put_mark(transaction, sign(self._signer, CHECKPOINT, sequence, digest_of(item)))
        activity = Activity(RETENTION, Action.EXPIRE)
        activity.counts["audit_entries"] = len(expired)
        return [activity.facts(None)]

    def _newest(self, wanted: AuditFilter, limit: int, token: str | None) -> list[tuple[int, str]]:
        if token is not None and not token.isdecimal():
            raise InvalidInput("The page token belongs to another listing.")
        conditions, values = _conditions(wanted, self._signer)
        before = "Sequence < ?" if token is not None else "TRUE"
        return self._database.read(
            f"SELECT Sequence, Item FROM AuditLog WHERE {before} AND {conditions} ORDER BY Sequence DESC LIMIT ?",  # noqa: S608
            [*([int(token)] if token is not None else []), *values, limit],
        )


def _conditions(wanted: AuditFilter, signer: Signer) -> tuple[str, list[str]]:
    """Return the condition of a filter in SQL, and its values."""
    conditions: dict[str, Sequence[str]] = {}
    if wanted.since is not None:
        conditions["json_extract(Item, '$.time') >= ?"] = [_text(wanted.since)]
    if wanted.until is not None:
        conditions["json_extract(Item, '$.time') < ?"] = [_text(wanted.until)]
    if wanted.action is not None:
        conditions["json_extract(Item, '$.action') = ?"] = [wanted.action]
    if wanted.actor is not None:
        conditions["json_extract(Item, '$.actor') = ?"] = [wanted.actor]
    if wanted.user_ids:
        of_one = " OR ".join(["instr(Item, ?) > 0"] * len(wanted.user_ids))
        conditions[f"({of_one})"] = [f'"{pseudonym(signer, user_id)}"' for user_id in wanted.user_ids]
    return " AND ".join(["TRUE", *conditions]), [value for values in conditions.values() for value in values]


def _entry(sequence: int, item: str) -> AuditEntry:
    try:
        content = json.loads(item)
        return AuditEntry(**content | {"persons": tuple(content["persons"])})
    except (ValueError, KeyError, TypeError) as error:
        raise StorageDamaged(f"Entry {sequence} of the audit log cannot be read; run `mien audit --verify`.") from error


def _time(item: str) -> str:
    """Return the time of an entry; one that cannot be read counts as old."""
    try:
        return str(json.loads(item)["time"])
    except (ValueError, KeyError, TypeError):
        return ""


def _mark(reader: Reader, name: str) -> Mark | None:
    found = reader.read("SELECT Name, Sequence, Digest, Mac FROM AuditMarks WHERE Name = ?", (name,))
    return Mark(*found[0]) if found else None


def _put_mark(transaction: Transaction, mark: Mark) -> None:
    row = (mark.name, mark.sequence, mark.digest, mark.mac)
    transaction.execute("INSERT OR REPLACE INTO AuditMarks VALUES (?, ?, ?, ?)", row)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
