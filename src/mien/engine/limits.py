"""Limit what a photo may cost, before memory is taken, and share one budget among all threads.

A photo is ordinary when its decoding is short, whatever is in the file: then it is decoded in the caller's thread. All
others are heavy. Few heavy ones, and not many more of the large ordinary ones, are worked on at a time, so that the
photos of others always find a core.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mien.domain.errors import ImageTooLarge, Overloaded
from mien.domain.waiting import MAX_HEAVY, MAX_LARGE, waiting_seconds

WORKING_PIXELS = 36_000_000
"""Pixels to which a larger photo is reduced when it is decoded: 108 MB."""

QUICK_SECONDS = 0.04
"""Up to which estimate a photo never waits for a core: most portraits, and photos of up to about five megapixels."""

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
    max_seconds: float = 2.4
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


class _Lane:
    """Counts the photos of one kind: `running` are under way, `queued` are under way or waiting."""

    def __init__(self, slots: int, patient_slots: int, most: int) -> None:
        self._slots, self._patient_slots, self._most = slots, patient_slots, most
        self.running = self.queued = 0

    def join(self) -> None:
        if waiting_seconds.get() is not None and self.queued >= self._most:
            raise Overloaded("Too many photos that take long are waiting already.")
        self.queued += 1

    def has_room(self) -> bool:
        return self.running < (self._patient_slots if waiting_seconds.get() is None else self._slots)


class Budget:
    """Admits photos to be worked on; thread-safe.

    Args:
        cores: for which the numbers are made: for impatient callers half as many heavy photos at once, and one more
            of the large ones; for patient callers as many heavy ones, and any number of others.
    """

    def __init__(self, cores: int) -> None:
        self._changed = threading.Condition()
        self._large = _Lane(cores + 1, sys.maxsize, MAX_LARGE)
        self._heavy = _Lane(max(1, cores // 2), cores, MAX_HEAVY)
        self._ordinary = self._memory = 0

    @contextmanager
    def admit(self, cost: Cost) -> Iterator[None]:
        """Wait until a photo may be worked on, and count it until the block ends.

        Raises:
            Overloaded: too many such photos wait already, or it took longer than `waiting_seconds`.
        """
        with self._changed:
            self._enter(cost)
        try:
            yield
        finally:
            with self._changed:
                self._leave(cost)
                self._changed.notify_all()

    def _enter(self, cost: Cost) -> None:
        lane = self._lane(cost)
        if lane:
            lane.join()
        try:
            self._wait_for_room(cost, lane)
        except BaseException:
            if lane:
                lane.queued -= 1
            raise
        if lane:
            lane.running += 1
        if cost.is_ordinary:
            self._ordinary += 1
            self._memory += cost.memory

    def _leave(self, cost: Cost) -> None:
        lane = self._lane(cost)
        if lane:
            lane.queued -= 1
            lane.running -= 1
        if cost.is_ordinary:
            self._ordinary -= 1
            self._memory -= cost.memory

    def _lane(self, cost: Cost) -> _Lane | None:
        if not cost.is_ordinary:
            return self._heavy
        return self._large if cost.seconds > QUICK_SECONDS else None

    def _wait_for_room(self, cost: Cost, lane: _Lane | None) -> None:
        deadline = _deadline()
        while not (self._has_memory(cost) and (lane is None or lane.has_room())):
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._changed.wait(left):
                raise Overloaded("Other large photos are being worked on; try again.")

    def _has_memory(self, cost: Cost) -> bool:
        return not cost.is_ordinary or not self._ordinary or self._memory + cost.memory <= ORDINARY_MEMORY


def _deadline() -> float | None:
    patience = waiting_seconds.get()
    return None if patience is None else time.monotonic() + patience


BUDGET = Budget(os.cpu_count() or 1)
"""The budget of all threads of this process."""
