"""Eventual consistency, for people who test their retry code: new faces stay unseen for a while. Off by default.

Only searching is late, as in the cloud; what is stored is stored at once.

Answers by ClientRequestToken: a repeated call gets its first answer again, and nothing is done twice.

AWS says neither how long a token counts nor what it is bound to. Here it is bound to caller and operation,
and the newest 10,000 tokens of this process count.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, Any

from mien.rekognition.errors import WireError

if TYPE_CHECKING:
    from mien.rekognition.service import Call


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


MOST_TOKENS = 10_000


class Tokens:
    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most, self._lock = most, Lock()
        self._answers: OrderedDict[tuple[str, ...], tuple[Any, dict[str, Any]]] = OrderedDict()

    def once(self, call: Call, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Act, or answer as before; a failure is not kept. Raises WireError when the token came with other input."""
        token = call.params.get("ClientRequestToken")
        if token is None:
            return act()
        key = (call.caller, call.operation, token)
        with self._lock:
            if key not in self._answers:
                self._keep(key, (call.params, act()))
            earlier, answer = self._answers[key]
        if earlier != call.params:
            raise WireError(
                "IdempotentParameterMismatchException",
                f"The ClientRequestToken: {token} you have supplied is already in use.",
            )
        return answer

    def _keep(self, key: tuple[str, ...], answer: tuple[Any, dict[str, Any]]) -> None:
        self._answers[key] = answer
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
