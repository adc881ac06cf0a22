"""Simulate Rekognition's eventual consistency, for people who test their retry code; off by default."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock


class EventualConsistency:
    """Hides new faces from searches for some seconds, as Rekognition may; they are stored and listed at once."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Hide each new face for `seconds`; 0 hides none. `clock` returns seconds that never go back."""
        self._seconds, self._clock, self._lock = seconds, clock, Lock()
        self._queue: deque[tuple[float, str]] = deque()
        self._hidden: set[str] = set()

    def hide(self, face_ids: Iterable[str]) -> None:
        """Hide faces that were stored just now."""
        if not self._seconds:
            return
        with self._lock:
            visible_at = self._clock() + self._seconds
            for face_id in face_ids:
                self._hidden.add(face_id)
                self._queue.append((visible_at, face_id))

    def hidden_faces(self) -> frozenset[str]:
        """Return the ids of the faces that no search may find yet."""
        if not self._seconds:
            return frozenset()
        with self._lock:
            while self._queue and self._queue[0][0] <= self._clock():
                self._hidden.discard(self._queue.popleft()[1])
            return frozenset(self._hidden)
