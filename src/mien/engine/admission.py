"""Share one budget of cores and memory among all threads that work on photos, and give their clients turns.

A photo is ordinary when its decoding is short, whatever is in the file. All others are heavy. Few heavy ones are worked
on at a time, and not many more of the large ones, among which are all that a process of its own decodes, as they may
hide what they cost, and quick ones whose faces turn out to make much work: so the quick photos of others always find a
core. The memory of all of them together has a limit, and no decoder may take more than its photo was admitted with.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

from mien.domain.errors import Overloaded
from mien.domain.waiting import (
    MAX_HEAVY,
    MAX_LARGE,
    available_cores,
    client,
    reset_in_forks,
    step_aside,
    waiting_seconds,
)
from mien.engine.limits import ORDINARY_SECONDS, Cost

QUICK_MEMORY = 128 * 1024 * 1024
"""Bytes that the quick photos under way may take together, unless there is only one."""

PAUSED_MEMORY = 128 * 1024 * 1024
"""Bytes that quick photos may keep together while they wait to go on as large ones, unless there is only one."""

COSTLY_MEMORY = 320 * 1024 * 1024
"""Bytes that all others under way may take together, for each core and for two at least, unless there is only one."""


class _Turn:
    """A photo that waits for its turn, and for whom it is worked on: without limited patience, or for a client."""

    def __init__(self, cost: Cost, number: int) -> None:
        self.cost, self.number, self.client, self.is_refused = cost, number, client.get(), False
        self.is_patient, self.waits = waiting_seconds.get() is None, waiting_seconds.get() != 0


class _Lane:
    """Counts the photos of one kind that are under way, and keeps those that wait."""

    def __init__(self, slots: int, patient_slots: int, most: int) -> None:
        self._slots, self._patient_slots, self._most = slots, patient_slots, most
        self.waiting: list[_Turn] = []
        self.running = 0

    @property
    def queued(self) -> int:
        """How many photos are under way or waiting."""
        return self.running + len(self.waiting)

    def join(self, turn: _Turn) -> None:
        if not turn.is_patient and not self.has_room:
            self._make_room(turn)
        self.waiting.append(turn)

    def candidates(self) -> list[_Turn]:
        """Return the turns, but for patient ones, for which there is a place."""
        return self._impatient() if self.running < self._slots else []

    @property
    def has_room(self) -> bool:
        """Whether one more may wait."""
        return self.queued < self._most

    def has_patient_place(self) -> bool:
        return self.running < self._patient_slots

    def leave(self, turn: _Turn) -> None:
        if turn in self.waiting:
            self.waiting.remove(turn)

    def _impatient(self) -> list[_Turn]:
        return [turn for turn in self.waiting if not turn.is_patient]

    def _make_room(self, newcomer: _Turn) -> None:
        """Refuse the last photo of the client who has most of them waiting, for one that waits of who has fewer."""
        waiting = Counter(turn.client for turn in self._impatient())
        greediest = max(waiting, key=lambda each: waiting[each], default=newcomer.client)
        if not newcomer.waits or waiting[greediest] < waiting[newcomer.client] + 2:
            raise Overloaded("Too many photos that take long are waiting already.")
        refused = [turn for turn in self._impatient() if turn.client == greediest][-1]
        refused.is_refused = True
        self.leave(refused)


class _Memory:
    """Counts the bytes that photos under way may take."""

    def __init__(self, most: int) -> None:
        self._most, self._photos, self.taken = most, 0, 0

    def has_room(self, cost: Cost) -> bool:
        return not self._photos or self.taken + cost.memory + cost.beside <= self._most

    def take(self, cost: Cost) -> None:
        self._photos, self.taken = self._photos + 1, self.taken + cost.memory + cost.beside

    def give_back(self, cost: Cost) -> None:
        self._photos, self.taken = self._photos - 1, self.taken - cost.memory - cost.beside


class Admission:
    """A photo that is worked on, and what it counts as."""

    def __init__(self, budget: Budget, cost: Cost) -> None:
        self._budget, self.cost = budget, cost

    def count_as_large(self) -> None:
        """Leave the place of a quick photo to others, and wait for one of a large photo: there is much to do.

        It goes on as it is where nobody is to wait, and where as much waits already as may.

        Raises:
            Overloaded: it took longer than `waiting_seconds`, or the client has most photos waiting.
        """
        self._budget.count_as_large(self)


class Budget:
    """Admits photos to be worked on; thread-safe.

    Args:
        cores: for which the numbers are made: for impatient callers half as many heavy photos at once, and one more
            of the large ones; for patient callers as many heavy ones, and any number of others. Memory is bounded for
            both.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._reset()
        reset_in_forks(self._reset)

    def _reset(self) -> None:
        """Begin without photos; a forked child has not the threads that work on those of its parent."""
        cores = self._cores
        self._changed = threading.Condition()
        self._quick = _Lane(sys.maxsize, sys.maxsize, sys.maxsize)  # only memory bounds it
        self._large = _Lane(cores + 1, sys.maxsize, MAX_LARGE)
        self._heavy = _Lane(max(1, cores // 2), cores, MAX_HEAVY)
        self._numbers = count(1)
        self._last_turns: dict[str, int] = {}  # by client who has had one while others wait
        self._quick_memory = _Memory(QUICK_MEMORY)
        self._paused_memory = _Memory(PAUSED_MEMORY)
        self._costly_memory = _Memory(COSTLY_MEMORY * max(2, cores))

    @property
    def taken(self) -> int:
        """Bytes that the photos under way may take together."""
        return self._quick_memory.taken + self._paused_memory.taken + self._costly_memory.taken

    @contextmanager
    def admit(self, cost: Cost) -> Iterator[Admission]:
        """Wait until a photo may be worked on, and count it until the block ends.

        Raises:
            Overloaded: too many such photos wait already, or it took longer than `waiting_seconds`.
        """
        admission = Admission(self, cost)
        with self._changed:
            self._enter(cost)
        try:
            yield admission
        finally:
            with self._changed:
                self._leave(admission.cost)
                self._changed.notify_all()

    def count_as_large(self, admission: Admission) -> None:
        """See `Admission.count_as_large`."""
        quick = admission.cost
        large = replace(quick, seconds=ORDINARY_SECONDS)
        with self._changed:
            has_room = self._paused_memory.has_room(quick) and self._large.has_room
            if not quick.is_quick or not waiting_seconds.get() or not has_room:
                return
            self._leave(quick)
            self._paused_memory.take(quick)
            try:
                self._wait_for_turn(large, self._large)
            except BaseException:
                self._quick.running += 1
                self._quick_memory.take(quick)
                raise
            finally:
                self._paused_memory.give_back(quick)
            self._costly_memory.take(large)
            admission.cost = large

    def _enter(self, cost: Cost) -> None:
        if cost.is_quick and self._quick_memory.has_room(cost) and not self._quick.candidates():
            self._quick.running += 1
        else:
            self._wait_for_turn(cost, self._lane(cost))
        self._memory(cost).take(cost)

    def _wait_for_turn(self, cost: Cost, lane: _Lane) -> None:
        turn = _Turn(cost, next(self._numbers))
        lane.join(turn)
        try:
            self._changed.notify_all()  # one may have been refused for it
            step_aside()
            self._wait_until(lambda: turn.is_refused or self._may_begin(turn, lane))
            if turn.is_refused:
                raise Overloaded("Too many photos of this client that take long are waiting already.")
            self._last_turns[turn.client] = next(self._numbers)
            lane.running += 1
        finally:
            lane.leave(turn)
            if not (self._quick.waiting or self._large.waiting or self._heavy.waiting):
                self._last_turns.clear()
            self._changed.notify_all()  # it is another one's turn now

    def _may_begin(self, turn: _Turn, lane: _Lane) -> bool:
        """Whether it is a photo's turn: of all for which there is a place, the next one gets what memory comes free.

        So large photos of one client cannot keep the memory from another one's heavy photo, nor its own heavy ones,
        for which there is no memory, hold up those of others.
        """
        if not self._memory(turn.cost).has_room(turn.cost):
            return False
        if turn.is_patient:
            return lane.has_patient_place() and not (lane is self._quick and lane.candidates())
        lanes = (self._quick,) if lane is self._quick else (self._large, self._heavy)
        return turn is min((each for one in lanes for each in one.candidates()), key=self._order, default=None)

    def _order(self, turn: _Turn) -> tuple[int, int]:
        """Sort by the last turn of the client, the one who has had none for longest first, and by arrival."""
        return self._last_turns.get(turn.client, 0), turn.number

    def _leave(self, cost: Cost) -> None:
        self._lane(cost).running -= 1
        self._memory(cost).give_back(cost)

    def _lane(self, cost: Cost) -> _Lane:
        if not cost.is_ordinary:
            return self._heavy
        return self._quick if cost.is_quick else self._large

    def _memory(self, cost: Cost) -> _Memory:
        return self._quick_memory if cost.is_quick else self._costly_memory

    def _wait_until(self, may_begin: Callable[[], bool]) -> None:
        deadline = _deadline()
        while not may_begin():
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._changed.wait(left):
                raise Overloaded("Other large photos are being worked on; try again.")


def _deadline() -> float | None:
    patience = waiting_seconds.get()
    return None if patience is None else time.monotonic() + patience


BUDGET = Budget(available_cores())
"""The budget of all threads of this process that name no other."""
