"""Eventual consistency, for people who test their retry code: new faces stay unseen for a while. Off by default.

Only searching is late, as in the cloud; what is stored is stored at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock


class Delay:
    """Remembers which faces are too new to be found. `seconds` 0: none ever is."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._lock = seconds, clock, Lock()
        self._queue: deque[tuple[float, str]] = deque()
        self._new: set[str] = set()

    def note(self, face_ids: Iterable[str]) -> None:
        if not self._seconds:
            return
        with self._lock:
            seen_at = self._clock() + self._seconds
            for face_id in face_ids:
                self._new.add(face_id)
                self._queue.append((seen_at, face_id))

    def unseen(self) -> frozenset[str]:
        """The faces that no search finds yet."""
        if not self._seconds:
            return frozenset()
        with self._lock:
            while self._queue and self._queue[0][0] <= self._clock():
                self._new.discard(self._queue.popleft()[1])
            return frozenset(self._new)
