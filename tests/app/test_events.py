"""The event queue: at least once, one event per key, nothing lost with its holder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.backends.embedded.database import open_database
from mien.backends.embedded.events import LEASE_SECONDS, MAX_ATTEMPTS, EventQueue

KEY = "uploaded/a/1.jpg"


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


def test_an_event_that_comes_while_its_key_is_worked_on_is_not_lost(queue: EventQueue) -> None:
    queue.put(KEY)
    first = queue.claim()
    assert first is not None
    queue.put(KEY)
    queue.settle(first)
    second = queue.claim()
    assert second is not None
    assert second.generation > first.generation


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


def test_dropped_keys_are_forgotten(queue: EventQueue) -> None:
    queue.put(KEY)
    queue.drop([KEY, "uploaded/none.jpg"])
    assert queue.claim() is None


def test_the_events_of_a_folder_are_dropped(queue: EventQueue) -> None:
    for key in (KEY, "uploaded/a/2.jpg", "uploaded/ab/1.jpg", "uploaded/A/1.jpg"):
        queue.put(key)
    queue.drop_folder("uploaded/a/")
    assert queue.waiting() == 2
