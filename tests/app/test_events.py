"""The event queue: at least once, one event per key, nothing lost with its holder."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mien.backends.embedded.database import open_database
from mien.backends.embedded.event_queue import LEASE_SECONDS, MAX_ATTEMPTS, ClaimLost, Event, EventQueue, Presence
from mien.domain.errors import StorageFull
from mien.gallery.store.database import Transaction

KEY, OTHER = "uploaded/a/1.jpg", "uploaded/b/1.jpg"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> EventQueue:
    return EventQueue(open_database(tmp_path / "mien.db"), clock)


def test_an_event_is_claimed_once_and_settled(queue: EventQueue) -> None:
    queue.put(KEY)
    queue.put(KEY)
    event = queue.claim()
    assert event is not None
    assert queue.claim() is None
    queue.settle(event)
    assert queue.waiting() == 0


def test_a_lease_runs_out_with_its_holder(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY)
    assert queue.claim()
    clock.now += LEASE_SECONDS + 1
    again = queue.claim()
    assert again is not None
    assert again.attempts == 2


def claimed(queue: EventQueue) -> Event:
    event = queue.claim()
    assert event is not None
    return event


def test_a_lease_that_is_renewed_does_not_run_out(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY)
    event = claimed(queue)
    for _ in range(5):
        clock.now += LEASE_SECONDS - 1
        queue.renew(event)
    assert queue.claim() is None
    queue.settle(event)
    assert queue.waiting() == 0


def test_who_lost_the_lease_changes_nothing_any_more(queue: EventQueue, clock: Clock, tmp_path: Path) -> None:
    queue.put(KEY)
    lost = claimed(queue)
    clock.now += LEASE_SECONDS + 1
    holder = claimed(queue)
    database = open_database(tmp_path / "mien.db")
    queue.settle(lost)
    queue.fail(lost)
    queue.release(lost)
    with pytest.raises(ClaimLost):
        queue.renew(lost)
    with queue.guard(lost), pytest.raises(ClaimLost), database.write():
        pass
    with queue.guard(holder), database.write():
        pass
    assert queue.waiting() == 1
    queue.settle(holder)
    assert queue.waiting() == 0
    with queue.guard(lost), pytest.raises(ClaimLost), database.write():
        pass


def test_who_holds_a_lease_may_clean_up_after_a_deleted_photo(queue: EventQueue, tmp_path: Path) -> None:
    queue.put(KEY)
    event, database = claimed(queue), open_database(tmp_path / "mien.db")
    queue.drop([KEY])
    with queue.guard(event), database.write() as transaction:
        transaction.execute("INSERT INTO BucketMark VALUES ('written')")
    assert ("written",) in database.read("SELECT Mark FROM BucketMark")


def test_claims_are_counted_over_restarts_until_the_object_is_new(clock: Clock, tmp_path: Path) -> None:
    def restarted() -> EventQueue:
        queue = EventQueue(open_database(tmp_path / "mien.db"), clock)
        queue.expire_leases()
        queue.add(KEY, "one")
        queue.announce(KEY, "one")
        return queue

    assert [claimed(restarted()).lost for _ in range(4)] == [0, 1, 2, 3]
    queue = restarted()
    queue.announce(KEY, "another")
    event = claimed(queue)
    assert (event.attempts, event.lost) == (1, 0)


def test_a_suspect_is_worked_on_alone(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY)
    clock.now += 1
    queue.put(OTHER)
    first, second = claimed(queue), claimed(queue)
    queue.expire_leases()
    queue.put("uploaded/c/1.jpg")
    suspect = claimed(queue)
    assert suspect.key in {first.key, second.key}
    assert queue.claim() is None
    queue.settle(suspect)
    other = claimed(queue)
    assert (other.lost, queue.claim()) == (1, None)
    queue.settle(other)
    assert claimed(queue).lost == 0


def test_what_is_handed_back_is_claimed_at_once_and_not_suspect(queue: EventQueue) -> None:
    queue.put(KEY)
    queue.release(claimed(queue))
    again = claimed(queue)
    assert (again.attempts, again.lost) == (2, 0)


def test_an_object_that_is_created_anew_waits_for_who_works_on_the_former(queue: EventQueue) -> None:
    queue.put(KEY)
    event = claimed(queue)
    queue.put(KEY)
    assert queue.claim() is None
    queue.settle(event)
    again = claimed(queue)
    assert (again.attempts, again.generation) == (1, event.generation + 1)


def test_only_who_is_alone_ends_the_leases_of_others(tmp_path: Path) -> None:
    calls: list[str] = []
    first, second, third = (Presence(tmp_path / "lock") for _ in range(3))
    first.begin(lambda: calls.append("first"))
    second.begin(lambda: calls.append("second"))
    first.end()
    second.end()
    third.begin(lambda: calls.append("third"))
    third.end()
    assert calls == ["first", "third"]


def test_who_could_not_end_the_leases_keeps_nobody_waiting(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageFull("The disk is full.")

    presence = Presence(tmp_path / "lock")
    with pytest.raises(StorageFull):
        presence.begin(fail)
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    presence.end()


def test_a_lease_is_renewed_for_its_whole_time_though_other_writers_came_first(
    queue: EventQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(KEY)
    event, write = claimed(queue), queue._database.write

    def write_later() -> AbstractContextManager[Transaction]:
        clock.now += LEASE_SECONDS - 1
        return write()

    monkeypatch.setattr(queue._database, "write", write_later)
    queue.renew(event)
    monkeypatch.undo()
    clock.now += LEASE_SECONDS - 1
    assert queue.claim() is None


def test_a_table_of_the_previous_version_gets_its_columns(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mien.db")
    connection.execute(
        "CREATE TABLE Events (Key TEXT PRIMARY KEY, DueAt REAL NOT NULL, Attempts INTEGER NOT NULL DEFAULT 0,"
        " Generation INTEGER NOT NULL DEFAULT 0, Dead INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
    )
    connection.execute("INSERT INTO Events (Key, DueAt) VALUES (?, 0)", (KEY,))
    connection.commit()
    connection.close()
    assert claimed(EventQueue(open_database(tmp_path / "mien.db"))).key == KEY


def test_an_event_that_comes_while_its_key_is_worked_on_is_not_lost(queue: EventQueue) -> None:
    queue.put(KEY)
    first = claimed(queue)
    queue.put(KEY)
    queue.settle(first)
    assert claimed(queue).generation > first.generation


def test_failures_wait_longer_each_time_and_end_as_a_dead_letter(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY)
    waits = []
    for _ in range(MAX_ATTEMPTS):
        started = clock.now
        while (event := queue.claim()) is None:
            clock.now += 0.5
        waits.append(clock.now - started)
        queue.fail(event)
    assert waits == sorted(waits)
    clock.now += 1_000_000
    assert queue.claim() is None
    assert (queue.waiting(), queue.dead()) == (0, 1)
    queue.put(KEY)
    assert queue.claim() is not None


def test_a_delay_puts_an_event_off(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY, delay=5)
    assert queue.claim() is None
    clock.now += 6
    assert queue.claim() is not None


def test_a_clock_that_is_set_back_puts_nothing_off(queue: EventQueue, clock: Clock) -> None:
    queue.put(KEY)
    claimed(queue)  # by one who dies
    clock.now += 3600
    queue.put(OTHER)
    failed = claimed(queue)
    queue.fail(failed)
    clock.now -= 7200
    again = [claimed(queue)]
    queue.settle(again[0])
    again.append(claimed(queue))
    assert {event.key: event.lost for event in again} == {KEY: 1, OTHER: 0}
    queue.settle(again[1])
    assert queue.waiting() == 0


def test_a_suspect_does_not_wait_for_a_lease_from_a_clock_that_was_ahead(queue: EventQueue, clock: Clock) -> None:
    for key in (KEY, OTHER):
        queue.put(key)
        claimed(queue)
    clock.now -= 3600
    for _ in range(2):
        queue.settle(claimed(queue))
    assert queue.waiting() == 0


def test_dropped_keys_are_forgotten(queue: EventQueue) -> None:
    queue.put(KEY)
    queue.drop([KEY, "uploaded/none.jpg"])
    assert queue.claim() is None


def test_the_events_of_a_folder_are_dropped(queue: EventQueue) -> None:
    for key in (KEY, "uploaded/a/2.jpg", "uploaded/ab/1.jpg", "uploaded/A/1.jpg"):
        queue.put(key)
    queue.drop_folder("uploaded/a/")
    assert queue.waiting() == 2
