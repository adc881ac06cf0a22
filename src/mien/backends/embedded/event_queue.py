"""Keep the object-created events in SQLite: a durable queue with leases, as SQS is one on AWS.

The queue delivers at least once and in any order, and holds at most one event per key. A claim leases the event to one
holder, who renews the lease while the work goes on. A lease that ran out shows that its holder died or hangs: the event
can be claimed again, and is then *suspect*, for its photo may have ended the process. Suspects are worked on alone, so
that photos which were only under way at the same moment are not blamed again. Claims are counted in the database,
over all restarts; only a new object begins to count anew. A holder that lost its lease stores nothing any more.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from mien.domain.errors import StorageBusy
from mien.gallery.store import private_files
from mien.gallery.store.database import Database, Transaction, guarded, storage_errors

LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
MAX_ATTEMPTS = 6
MAX_LOST = 2
"""A photo whose holder vanished this often is not looked at again: the third claim gives it up."""

BACKOFF_SECONDS = 1.0

MAX_WAIT_SECONDS = 120.0
"""More than any delay, pause or lease. What would be due later was stored while the clock was ahead, and is due now."""

_NEXT = (
    "SELECT Key, Generation, Attempts, Lost, Holder FROM Events"
    " WHERE Dead = 0 AND (DueAt <= ?1 OR DueAt > ?1 + ?2) ORDER BY DueAt LIMIT 1"
)
_UNDER_WAY = (
    "SELECT count(*), ifnull(max(Lost), 0) FROM Events WHERE Holder IS NOT NULL AND DueAt > ?1 AND DueAt <= ?1 + ?2"
)


class ClaimLost(StorageBusy):
    """The lease ran out, and somebody else works on the photo."""


@dataclass(slots=True, eq=False)
class Event:
    """A claimed event.

    Attributes:
        key: The object's key.
        generation: Grows when the object is created anew.
        attempts: How often this object was claimed, this claim included.
        lost: How often its holder vanished.
        until: When the lease runs out, in seconds since 1970.
        holder: Names this claim, and no other.
    """

    key: str
    generation: int
    attempts: int
    lost: int
    until: float
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def is_last_attempt(self) -> bool:
        """Whether another failure makes the event a dead letter."""
        return self.attempts >= MAX_ATTEMPTS

    @property
    def is_given_up(self) -> bool:
        """Whether the photo ended its holder so often that it is not to be looked at again."""
        return self.lost >= MAX_LOST


class EventQueue:
    """The object-created events, in the table Events of mien.db. Every method raises StorageError."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        """`now` returns seconds since 1970."""
        self._database, self._now = database, now

    def put(self, key: str, delay: float = 0.0, version: str | None = None) -> None:
        """Add an event about an object that was created anew.

        It replaces one for the same key, whose claims no longer count. While that one is worked on, the new one waits.

        Args:
            key: The object's key.
            delay: Seconds until the event is due.
            version: The object's version, which differs when the object does.
        """
        now = self._now()
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT INTO Events (Key, DueAt, Version) VALUES (?, ?, ?) ON CONFLICT (Key) DO UPDATE SET"
                " DueAt = iif(Holder IS NOT NULL AND DueAt > ?, DueAt, excluded.DueAt),"
                " Holder = iif(DueAt > ?, Holder, NULL), Version = excluded.Version,"
                " Generation = Generation + 1, Attempts = 0, Lost = 0, Dead = 0",
                (key, now + delay, version, now, now),
            )

    def announce(self, key: str, version: str | None, delay: float = 0.0) -> None:
        """Add an event about an object that may be new, unless there is one for this version, be it a dead letter."""
        if not self._database.read("SELECT 1 FROM Events WHERE Key = ? AND Version = ?", (key, version)):
            self.put(key, delay, version)

    def add(self, key: str, version: str | None = None) -> None:
        """Add an event, unless there is one for the same key, be it a dead letter."""
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT OR IGNORE INTO Events (Key, DueAt, Version) VALUES (?, ?, ?)", (key, self._now(), version)
            )

    def claim(self) -> Event | None:
        """Lease the event that has been due longest to the caller; None when none is due, or a suspect has to wait."""
        if not self._database.read(_NEXT, (self._now(), MAX_WAIT_SECONDS)):  # the usual case, which locks nobody out
            return None
        with self._database.write() as transaction:
            now = self._now()
            due = transaction.read(_NEXT, (now, MAX_WAIT_SECONDS))
            if not due:
                return None
            key, generation, attempts, lost, holder = due[0]
            lost += holder is not None
            under_way, most_lost = transaction.read(_UNDER_WAY, (now, MAX_WAIT_SECONDS))[0]
            if under_way and (lost or most_lost):
                return None
            event = Event(key, generation, attempts + 1, lost, now + LEASE_SECONDS)
            transaction.execute(
                "UPDATE Events SET DueAt = ?, Attempts = ?, Lost = ?, Holder = ? WHERE Key = ?",
                (event.until, event.attempts, event.lost, event.holder, key),
            )
        return event

    def renew(self, event: Event) -> None:
        """Lease an event for longer. Raises ClaimLost when somebody else has it."""
        with self._database.write() as transaction:  # which may wait for other writers first
            until = self._now() + LEASE_SECONDS
            renewed = transaction.execute(
                "UPDATE Events SET DueAt = ? WHERE Key = ? AND Holder = ?", (until, event.key, event.holder)
            )
            if not renewed.rowcount:
                self._check(event, transaction)
        event.until = until

    @contextmanager
    def guard(self, event: Event) -> Iterator[None]:
        """Let this thread write to mien.db as long as nobody else has the event; raise ClaimLost from then on."""
        with guarded(lambda transaction: self._check(event, transaction)):
            yield

    def settle(self, event: Event) -> None:
        """Remove an event that was handled; one whose object was created anew meanwhile is due at once."""
        with self._database.write() as transaction:
            transaction.execute(
                "DELETE FROM Events WHERE Key = ? AND Holder = ? AND Generation = ?",
                (event.key, event.holder, event.generation),
            )
            self._free(event, transaction)

    def fail(self, event: Event) -> None:
        """Make an event due again, after twice as long at each attempt; a dead letter after the last one."""
        later = self._now() + _pause(event)
        is_dead = event.is_last_attempt or event.is_given_up
        with self._database.write() as transaction:
            transaction.execute(
                "UPDATE Events SET DueAt = ?, Dead = ?, Holder = NULL WHERE Key = ? AND Holder = ? AND Generation = ?",
                (later, is_dead, event.key, event.holder, event.generation),
            )
            self._free(event, transaction)

    def postpone(self, event: Event) -> None:
        """Hand an event back that found no capacity. That does not count as an attempt, and others go first."""
        with self._database.write() as transaction:
            transaction.execute(
                "UPDATE Events SET Attempts = Attempts - 1 WHERE Key = ? AND Holder = ? AND Generation = ?",
                (event.key, event.holder, event.generation),
            )
            self._free(event, transaction, BACKOFF_SECONDS)

    def put_off(self, event: Event) -> None:
        """Make an event due again as after a failure, but never a dead letter: not even the failure could be stored."""
        with self._database.write() as transaction:
            self._free(event, transaction, _pause(event))

    def release(self, event: Event) -> None:
        """Hand an event back that was not finished, for the next one who claims it."""
        with self._database.write() as transaction:
            self._free(event, transaction)

    def expire_leases(self) -> None:
        """End all leases at once, for a caller who knows that their holders are dead."""
        with self._database.write() as transaction:
            transaction.execute("UPDATE Events SET DueAt = ? WHERE Holder IS NOT NULL", (self._now(),))

    def retry_dead(self) -> int:
        """Make all dead letters due, as if their objects were new; return how many there were."""
        with self._database.write() as transaction:
            return transaction.execute(
                "UPDATE Events SET Dead = 0, Attempts = 0, Lost = 0, DueAt = ? WHERE Dead = 1", (self._now(),)
            ).rowcount

    def drop(self, keys: Sequence[str]) -> None:
        """Remove the events of objects that were deleted."""
        with self._database.write() as transaction:
            transaction.executemany("DELETE FROM Events WHERE Key = ?", [(key,) for key in keys])

    def drop_folder(self, prefix: str) -> None:
        """Remove the events of all objects whose keys start with a prefix."""
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM Events WHERE Key >= ? AND Key < ?", (prefix, after))

    def waiting(self) -> int:
        """Count the events that are due or will be."""
        return self._count(dead=False)

    def dead(self) -> int:
        """Count the dead letters."""
        return self._count(dead=True)

    def _free(self, event: Event, transaction: Transaction, delay: float = 0.0) -> None:
        transaction.execute(
            "UPDATE Events SET DueAt = ?, Holder = NULL WHERE Key = ? AND Holder = ?",
            (self._now() + delay, event.key, event.holder),
        )

    def _check(self, event: Event, transaction: Transaction) -> None:
        """Raise ClaimLost for an event that another holder has, or may have had and settled.

        While the lease lasts, an event is removed with its object only. Its holder goes on and cleans up.
        """
        rows = transaction.read("SELECT Holder FROM Events WHERE Key = ?", (event.key,))
        holder = rows[0][0] if rows else None
        if holder != event.holder and (holder is not None or self._now() > event.until):
            raise ClaimLost("Another worker took this photo over.")

    def _count(self, *, dead: bool) -> int:
        count: int = self._database.read("SELECT count(*) FROM Events WHERE Dead = ?", (dead,))[0][0]
        return count


def _pause(event: Event) -> float:
    return BACKOFF_SECONDS * float(2 ** min(event.attempts, MAX_ATTEMPTS))


class Presence:
    """Tells whether any process works on the queue, by a lock that ends with its process."""

    def __init__(self, path: Path) -> None:
        """`path` is the lock's file."""
        self._path = path
        self._file: FileIO | None = None

    def begin(self, if_alone: Callable[[], object]) -> None:
        """Be present from now on. When nobody else is, `if_alone` is called before anybody else can be."""
        with storage_errors(self._path.name):
            self._file = FileIO(self._path, "w", opener=private_files.opener)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if_alone()
            except BlockingIOError:
                pass
            finally:  # or others would wait for as long as this process lives
                fcntl.flock(self._file, fcntl.LOCK_SH)

    def end(self) -> None:
        """Be present no longer."""
        if self._file:
            self._file.close()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep everybody else from being present. Raises BlockingIOError when somebody is; `path` is the lock's file."""
    with storage_errors(path.name):
        file = FileIO(path, "w", opener=private_files.opener)
    with file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
