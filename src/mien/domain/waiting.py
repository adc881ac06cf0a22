"""Say how long a caller waits for its turn while heavy work of others is under way, and on which threads it works."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from weakref import WeakMethod

from mien.domain.errors import Overloaded

waiting_seconds: ContextVar[float | None] = ContextVar("waiting_seconds", default=None)
"""Seconds that the current thread waits; None, as in a program of one user, for as long as it takes."""

client: ContextVar[str] = ContextVar("client", default="")
"""For whom calls are submitted and, on its threads, made. All clients get places in turn, however many calls one of
them has waiting, and however long they take."""

_leave_place: ContextVar[Callable[[], None] | None] = ContextVar("_leave_place", default=None)

REQUEST_SECONDS = 15.0
MAX_HEAVY, MAX_LARGE = 6, 16
"""Callers with limited patience that work on heavy or on large photos, or wait to do so; one more is refused."""

TURN_SECONDS = 0.1
"""Processor time of a call that counts as one turn; a longer one counts as several."""

P = ParamSpec("P")
T = TypeVar("T")


_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return how many cores this process may use, which its affinity or a container's limit may restrict."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, ceil(_limit_of_control_groups())))


def _limit_of_control_groups() -> float:
    """Return to how many cores Linux throttles this process, by its control group (version 2) or one above it.

    More threads than that would spend the group's time at once, and then all stand still.
    """
    lowest = float(os.cpu_count() or 1)
    with suppress(OSError, ValueError):  # another system, or version 1
        own = _CONTROL_GROUPS / _OWN_GROUP.read_text(encoding="utf-8").rpartition("0::/")[2].strip()
        for group in (own, *own.parents[: len(own.parts) - len(_CONTROL_GROUPS.parts)]):
            with suppress(OSError, ValueError):  # the root has no limit, and a group without one says "max"
                microseconds, period = (group / "cpu.max").read_text(encoding="ascii").split()
                lowest = min(lowest, int(microseconds) / int(period))
    return lowest


def reset_in_forks(reset: Callable[[], None]) -> None:
    """Have a bound method called in each forked child while its object lives.

    A child has none of the other threads: a pool waits for ever for those that it had, and so does who needs a lock
    that one of them held.
    """
    method = WeakMethod(reset)

    def call() -> None:
        if bound := method():
            bound()

    os.register_at_fork(after_in_child=call)


def step_aside() -> None:
    """Leave the place of the current call to another one, before work that is long or has to wait for its turn."""
    if (leave := _leave_place.get()) is not None:
        leave()


class RequestThreads(Executor):
    """Answers requests on few threads, so that they do not take the interpreter from one another; thread-safe.

    A call that steps aside goes on beside the others, and the next one gets its place: large and heavy photos, of which
    few are worked on at once, hold up no ordinary one. Of the clients that wait, the one that had the fewest turns is
    next (start-time fair queueing: Goyal, Vin and Cheng, 1996); one that comes anew begins with those of the last one.

    Attributes:
        aside: how many calls have stepped aside and are not done.
    """

    def __init__(self, threads: int, name: str, max_waiting: int = sys.maxsize) -> None:
        """Make a pool without calls.

        Args:
            threads: how many calls are made at once, beside those that have stepped aside.
            name: begins the names of the threads.
            max_waiting: how many calls may wait for a place.
        """
        most = threads + MAX_HEAVY + MAX_LARGE
        self._pool = ThreadPoolExecutor(most, name, partial(waiting_seconds.set, REQUEST_SECONDS))
        self._threads, self._most = threads, threads + max_waiting
        self._running, self._waiting, self._made, self.aside = 0, 0, 0, 0
        self._calls: dict[str, deque[_Call]] = {}  # by client; of those that had as many turns, the first is next
        self._turns: dict[str, int] = {}
        self._least = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a call made when those of its client before it have got their places, in turn with other clients.

        Where too many calls wait already, the last one of the client who has most of them makes room: its future raises
        Overloaded.

        Raises:
            Overloaded: Too many wait, and no client has more of them than this one.
        """
        future, refused, who = Future[T](), None, client.get()
        with self._lock:
            if self._waiting + self._made >= self._most:
                refused = self._take_last(who)
            if self._running < self._threads:
                self._pool.submit(self._work)
                self._running += 1
            if who not in self._calls:
                self._turns[who] = max(self._turns.get(who, 0), self._least)
            self._calls.setdefault(who, deque()).append(_Call(future, partial(work, *args, **kwargs), who))
            self._waiting += 1
        if refused:
            refused.refuse(Overloaded("Too many requests of this client are waiting already."))
        return future

    @property
    def pending(self) -> int:
        """How many calls wait, are being made, or have stepped aside."""
        return self._waiting + self._made + self.aside

    def _take_last(self, who: str) -> _Call:
        """Take away the last call of the client who has most of them waiting, for one of a client who has fewer."""
        most = max(self._calls.values(), key=len, default=deque())
        if len(most) < len(self._calls.get(who, ())) + 2:
            raise Overloaded("Too many requests are waiting already.")
        self._waiting -= 1
        return most.pop()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads; see `Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _work(self) -> None:
        """Make calls in one place, until there are none or until the place is left."""
        while (call := self._next()) is not None:
            token = _leave_place.set(partial(self._leave, call))
            client.set(call.client)
            try:
                call.make(partial(self._end, call, time.thread_time()))
            finally:
                _leave_place.reset(token)
            if call.is_aside:
                return

    def _next(self) -> _Call | None:
        with self._lock:
            if not self._calls:
                self._running -= 1
                self._turns.clear()
                return None
            who = min(self._calls, key=self._turns.__getitem__)
            calls, self._least = self._calls.pop(who), self._turns.pop(who) + 1
            call = calls.popleft()
            call.turns = self._least
            self._waiting, self._made = self._waiting - 1, self._made + 1
            if calls:
                self._calls[who], self._turns[who] = calls, self._least
            return call

    def _end(self, call: _Call, begun: float) -> None:
        """Count a call no more, but the turns that it took beyond the one with which it began."""
        further = int((time.thread_time() - begun) / TURN_SECONDS)
        with self._lock:
            if call.is_aside:
                self.aside -= 1
            else:
                self._made -= 1
            if further:
                self._turns[call.client] = max(self._turns.get(call.client, 0), call.turns) + further

    def _leave(self, call: _Call) -> None:
        with self._lock:
            if call.is_aside:
                return
            if self._calls:
                self._pool.submit(self._work)
            else:
                self._running -= 1
            call.is_aside = True
            self._made, self.aside = self._made - 1, self.aside + 1


class _Call:
    """A call that waits for a place, or is being made.

    Attributes:
        client: for whom it is made.
        turns: how many its client had had when it began.
        is_aside: whether it has left its place to another one.
    """

    def __init__(self, future: Future[Any], work: Callable[[], Any], client: str) -> None:
        self._future, self._work = future, work
        self.client, self.turns, self.is_aside = client, 0, False

    def refuse(self, error: Exception) -> None:
        """Have the future raise an error in place of the call."""
        if self._future.set_running_or_notify_cancel():
            self._future.set_exception(error)

    def make(self, on_end: Callable[[], None]) -> None:
        """Make the call unless it was cancelled; after `on_end`, the future gets the result or the error."""
        if not self._future.set_running_or_notify_cancel():
            on_end()
            return
        try:
            result = self._work()
        except BaseException as error:
            on_end()
            self._future.set_exception(error)
            del self, on_end  # or the error would hold the photo in a circle of references
        else:
            on_end()
            self._future.set_result(result)
