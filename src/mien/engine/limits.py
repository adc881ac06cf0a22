"""Limit what a photo may cost, before memory is taken, and share one budget among all threads.

A photo is ordinary when its decoding is short, whatever is in the file: then it is decoded at once. All others are
heavy: few are worked on at a time, so that an ordinary photo always finds a free core.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mien.domain.errors import ImageTooLarge, Overloaded
from mien.domain.waiting import MAX_WAITING, waiting_seconds

WORKING_PIXELS = 36_000_000
"""Pixels to which a larger photo is reduced when it is decoded: 108 MB."""

ORDINARY_SECONDS = 0.2
ORDINARY_BYTES = 128 * 1024 * 1024
"""Up to which estimates a photo is ordinary."""

ORDINARY_MEMORY = 512 * 1024 * 1024
"""Bytes that the ordinary photos under way may take together, unless there is only one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Which images are accepted.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height at the scale at which the file may be decoded. Most JPEGs can be decoded at half
            their sides, so they may be four times as large.
        max_memory: bytes that the decoder may take, the decoded photo included. Formats that cannot be decoded at a
            reduced scale may have fewer pixels for it.
        max_seconds: processor time of the decoder, where it runs in a process of its own.
        min_side: pixels of the shorter side.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_000_000
    max_memory: int = 340 * 1024 * 1024
    max_seconds: float = 1.8
    min_side: int = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What a photo is estimated to cost at most.

    Attributes:
        memory: bytes of the decoder and the decoded photo.
        seconds: processor time of one decoding on a core of a server.
    """

    memory: int
    seconds: float

    @property
    def is_ordinary(self) -> bool:
        return self.seconds <= ORDINARY_SECONDS and self.memory <= ORDINARY_BYTES


def refuse_above(name: str, found: float, limit: float, what: str) -> None:
    """Raise ImageTooLarge when a photo has more of something than is accepted.

    Args:
        name: the limit's name, for programs.
        found: how much there is.
        limit: how much there may be.
        what: the same in words, such as "scans".
    """
    if found > limit:
        raise ImageTooLarge(f"The photo has {found:,} {what}; at most {limit:,} are accepted.", name)


class Budget:
    """Admits photos to be worked on; thread-safe.

    Args:
        cores: for which the numbers are made: half as many heavy photos of impatient callers at once, as many of
            patient ones.
    """

    def __init__(self, cores: int) -> None:
        self._cores, self._changed = cores, threading.Condition()
        self._ordinary_memory = self._ordinary = self._heavy = self._queued = 0

    @contextmanager
    def admit(self, cost: Cost) -> Iterator[None]:
        """Wait until a photo may be worked on, and count it until the block ends.

        Raises:
            Overloaded: too many heavy photos wait already, or it took longer than `waiting_seconds`.
        """
        enter, leave = (
            (self._enter_ordinary, self._leave_ordinary) if cost.is_ordinary else (self._enter_heavy, self._leave_heavy)
        )
        with self._changed:
            enter(cost)
        try:
            yield
        finally:
            with self._changed:
                leave(cost)
                self._changed.notify_all()

    def _enter_ordinary(self, cost: Cost) -> None:
        deadline = _deadline()
        while self._ordinary and self._ordinary_memory + cost.memory > ORDINARY_MEMORY:
            self._wait(deadline)
        self._ordinary += 1
        self._ordinary_memory += cost.memory

    def _leave_ordinary(self, cost: Cost) -> None:
        self._ordinary -= 1
        self._ordinary_memory -= cost.memory

    def _enter_heavy(self, _cost: Cost) -> None:
        patience, deadline = waiting_seconds.get(), _deadline()
        slots = self._cores if patience is None else max(1, self._cores // 2)
        if patience is not None and self._queued >= MAX_WAITING:
            raise Overloaded("Too many large photos are waiting already.")
        self._queued += 1
        try:
            while self._heavy >= slots:
                self._wait(deadline)
        except Overloaded:
            self._queued -= 1
            raise
        self._heavy += 1

    def _leave_heavy(self, _cost: Cost) -> None:
        self._queued -= 1
        self._heavy -= 1

    def _wait(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if (left is not None and left <= 0) or not self._changed.wait(left):
            raise Overloaded("Other large photos are being worked on; try again.")


def _deadline() -> float | None:
    patience = waiting_seconds.get()
    return None if patience is None else time.monotonic() + patience


BUDGET = Budget(os.cpu_count() or 1)
"""The budget of all threads of this process."""
