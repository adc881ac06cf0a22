"""The object-created events as a durable queue in SQLite: at least once, in any order, with retries.

There is at most one event per key. Who claims one leases it; a lease that is not settled in time, because
its holder died, runs out and the event is claimed again. What fails too often becomes a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mien.gallery.store.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS Events (
  Key TEXT PRIMARY KEY, DueAt REAL NOT NULL, Attempts INTEGER NOT NULL DEFAULT 0,
  Generation INTEGER NOT NULL DEFAULT 0, Dead INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS Events_DueAt ON Events (Dead, DueAt);
"""
LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 6
BACKOFF_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """A claimed event; a newer `generation` means that the object was created anew meanwhile."""

    key: str
    generation: int
    attempts: int

    @property
    def last(self) -> bool:
        """A failure now is for good."""
        return self.attempts >= MAX_ATTEMPTS


class EventQueue:
    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database, self._now = database, now

    def put(self, key: str, delay: float = 0.0) -> None:
        """Announce a created object; one that waits already is put off by the delay."""
        with self._database.write() as transaction:
            transaction.execute(
                "INSERT INTO Events (Key, DueAt) VALUES (?, ?) ON CONFLICT (Key) DO UPDATE SET"
                " DueAt = excluded.DueAt, Generation = Generation + 1, Attempts = 0, Dead = 0",
                (key, self._now() + delay),
            )

    def claim(self) -> Event | None:
        """The next event that is due, leased to the caller."""
        with self._database.write() as transaction:
            row = transaction.execute(
                "UPDATE Events SET DueAt = ?, Attempts = Attempts + 1 WHERE Key ="
                " (SELECT Key FROM Events WHERE Dead = 0 AND DueAt <= ? ORDER BY DueAt LIMIT 1)"
                " RETURNING Key, Generation, Attempts",
                (self._now() + LEASE_SECONDS, self._now()),
            ).fetchone()
        return Event(*row) if row else None

    def settle(self, event: Event) -> None:
        """The event is dealt with, unless there was a newer one for the key."""
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM Events WHERE Key = ? AND Generation = ?", (event.key, event.generation))

    def fail(self, event: Event) -> None:
        """Try again later, each time later, and in the end never."""
        later = self._now() + BACKOFF_SECONDS * 2**event.attempts
        with self._database.write() as transaction:
            transaction.execute(
                "UPDATE Events SET DueAt = ?, Dead = ? WHERE Key = ? AND Generation = ?",
                (later, event.last, event.key, event.generation),
            )

    def drop(self, keys: Sequence[str]) -> None:
        with self._database.write() as transaction:
            transaction.executemany("DELETE FROM Events WHERE Key = ?", [(key,) for key in keys])

    def waiting(self) -> int:
        return self._count(dead=False)

    def dead(self) -> int:
        return self._count(dead=True)

    def _count(self, *, dead: bool) -> int:
        count: int = self._database.read("SELECT count(*) FROM Events WHERE Dead = ?", (dead,))[0][0]
        return count
